import type { Standing } from './attempt.ts'
import { toCheckpointName } from './turn.ts'

/**
 * A part of a flow that runs by itself: the function of the flow, or a branch of `flow.all`. What is asked for in it is named and counted within it (P4), so that
 * branches which interleave in another way after a restart find their own records again.
 *
 * Each branch has a generation of its own that its checkpoints must be up to date with: branches run beside each other, so none depends on what another has
 * changed. What comes after all of them does.
 */
export interface Branch {
  /** Begins the keys and names of what is in it: empty, or such as `all.1/2/`. */
  readonly path: string
  /** The generation that a checkpoint asked for now must be up to date with. */
  minimum(): number
  /** A checkpoint that stands there has settled. */
  settle(standing: Pick<Standing, 'generation'>): void
  /** The next name in it for what is called `name`: that, then `name_2`, …; what the flow itself calls `name_2` comes after. */
  toCheckpoint(kind: string, name: string): Checkpoint
  /** The branches of the next `flow.all` in it. */
  fork(count: number): readonly Branch[]
  /** What comes now depends on all of these. */
  join(branches: readonly Branch[]): void
}

/** How a checkpoint of a flow is found again. */
export interface Checkpoint {
  /** Of its record, within the run: no name of the user's reaches into another's. */
  readonly key: string
  /** What people read. */
  readonly name: string
}

/** `minimum`: the generation that the first checkpoint in it must be up to date with. */
export function createBranch(path: string, minimum: number): Branch {
  let current = minimum
  let forks = 0
  const asked = new Map<string, number>()
  const taken = new Set<string>()
  return {
    path,
    minimum: () => current,
    settle({ generation }) {
      current = Math.max(current, generation)
    },
    toCheckpoint(kind, name) {
      const place = `${path}${kind}/`
      let count = asked.get(`${place}${name}`) ?? 0
      let candidate: string
      do {
        count++
        candidate = toCheckpointName(name, count)
      } while (taken.has(`${place}${candidate}`))
      asked.set(`${place}${name}`, count)
      taken.add(`${place}${candidate}`)
      return { key: `${place}${candidate}`, name: `${path}${candidate}` }
    },
    fork(count) {
      forks++
      return Array.from({ length: count }, (_, index) => createBranch(`${path}all.${forks}/${index + 1}/`, current))
    },
    join(branches) {
      for (const branch of branches) current = Math.max(current, branch.minimum())
    },
  }
}
