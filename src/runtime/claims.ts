import { PerdureError } from '../errors.ts'
import type { Runtime } from './runtime.ts'

/**
 * The runs that somebody in this process has open. One run has one owner at a time (P7): a flow and a session whose ids come to the same
 * run would otherwise both write it.
 */
export interface Claims {
  /** Takes a run for whoever opens it, until what is returned is called. Errors: `RUN_CONFLICT`. */
  claim(run: string): () => void
  /** Takes a run that nobody has open for as long as `task` needs it. Errors: `RUN_CONFLICT`, those of `task`. */
  briefly<T>(run: string, task: () => Promise<T>): Promise<T>
  /** Resolves when the run is not taken {@link Claims.briefly}: to be awaited before it is opened. */
  whenNotBrief(run: string): Promise<void>
}

/** `onRelease` is called when a run was let go of. */
export function createClaims(onRelease: () => void = () => {}): Claims {
  const claimed = new Set<string>()
  const brief = new Map<string, Promise<unknown>>()

  const claim = (run: string): (() => void) => {
    if (claimed.has(run))
      throw new PerdureError(
        'RUN_CONFLICT',
        `The run \`${run}\` is in use in this process, by a flow, a session or a machine. Wait until it has ended, or use another id.`,
        { details: { run } },
      )
    claimed.add(run)
    let released = false
    return () => {
      if (released) return
      released = true
      claimed.delete(run)
      onRelease()
    }
  }
  return {
    claim,
    async briefly(run, task) {
      for (let task = brief.get(run); task !== undefined; task = brief.get(run)) await task
      const release = claim(run)
      const done = task().finally(() => {
        brief.delete(run)
        release()
      })
      brief.set(
        run,
        done.catch(() => {}),
      )
      return done
    },
    async whenNotBrief(run) {
      for (let task = brief.get(run); task !== undefined; task = brief.get(run)) await task
    },
  }
}

const ofRuntimes = new WeakMap<Runtime, Claims>()

/** Lets {@link claimsOf} find the claims of a runtime. */
export const publishClaims = (runtime: Runtime, claims: Claims): void => void ofRuntimes.set(runtime, claims)

/** For what writes runs from outside of the runtime that has them: a person's import. */
export function claimsOf(runtime: Runtime): Claims {
  const claims = ofRuntimes.get(runtime)
  if (claims === undefined) throw new TypeError('Expected a runtime that `openRuntime` made')
  return claims
}
