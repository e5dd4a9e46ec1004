import { z } from 'zod'
import { headsWithin, toRunId } from '../persistence/keys.ts'
import { type Head, loadHead } from '../persistence/run-log.ts'
import type { Store } from '../persistence/store.ts'
import { parseRecorded } from './recorded.ts'
import { toNotFound } from './run-errors.ts'
import { addSpend, Spend, toOwnSpend } from './spend.ts'

/** What of a head tells what its run has cost. */
const HeadData = z.looseObject({ spend: Spend.optional(), childSpend: Spend.optional() })

/** What the run of a head paid itself. Errors: `RUN_CORRUPT`. */
export const readOwnSpend = (head: Head): Spend => toOwnSpend(parseRecorded(HeadData, head.data, head.id, 'head'))

/**
 * What a run has cost in all, as it is on disk: itself, and all runs below it, the conversations of a flow and the agents that work for calls. Each head
 * counts what its run paid itself, so that nothing is missing where a call never came to its end, and nothing counts twice.
 * Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`.
 */
export async function readRunSpend(store: Store, id: string): Promise<Spend> {
  const head = await loadHead(store, id)
  if (head === undefined) throw toNotFound(id)
  let total = readOwnSpend(head)
  for await (const [key] of store.entries(headsWithin(id))) {
    const inner = await loadHead(store, toRunId(key))
    if (inner?.kind === 'agent') total = addSpend(total, readOwnSpend(inner))
  }
  return total
}
