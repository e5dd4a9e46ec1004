import { toHash } from './fingerprint.ts'

/** From this length on the names of agents are left out, so that deep trees have ids that are short enough. */
const MAX_NAMED = 240

/**
 * The run of an agent that works for the call `step` of a run: `<run>/<agent>.<hash>`, the same over restarts, and of a long id `<run>/<hash>`. It begins as that of its
 * parent, so that what asks for a run and those within it finds it.
 */
export function toChildId(run: string, agent: string, step: string): string {
  const hash = toHash([agent, step])
  const named = `${run}/${agent}.${hash}`
  return named.length <= MAX_NAMED ? named : `${run}/${hash.slice(0, 12)}`
}
