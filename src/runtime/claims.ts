import { PerdureError } from '../errors.ts'

/**
 * The runs that somebody in this process has open. One run has one owner at a time (P7): a flow and a session whose ids come to the same
 * run would otherwise both write it.
 */
export function createClaims(): (run: string) => () => void {
  const claimed = new Set<string>()
  return (run) => {
    if (claimed.has(run))
      throw new PerdureError(
        'RUN_CONFLICT',
        `The run \`${run}\` is in use in this process, by a flow, a session or a machine. Wait until it has ended, or use another id.`,
        {
          details: { run },
        },
      )
    claimed.add(run)
    let released = false
    return () => {
      if (!released) claimed.delete(run)
      released = true
    }
  }
}
