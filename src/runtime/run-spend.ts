import { z } from 'zod'
import { headsWithin, toRunId } from '../persistence/keys.ts'
import { type Head, loadHead } from '../persistence/run-log.ts'
import type { Store } from '../persistence/store.ts'
import { parseRecorded } from './recorded.ts'
import { toNotFound } from './run-errors.ts'
import { addSpend, NO_SPEND, Spend } from './spend.ts'

/** What of a head tells what its run has cost. */
const HeadData = z.looseObject({ spend: Spend.optional(), owner: z.string().optional() })

const read = (head: Head) => parseRecorded(HeadData, head.data, head.id, 'head')

/**
 * What a run has cost in all, as it is on disk: that of a flow in its conversations. Agents that work for calls are counted by the run that they work for.
 * Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`.
 */
export async function readRunSpend(store: Store, id: string): Promise<Spend> {
  const head = await loadHead(store, id)
  if (head === undefined) throw toNotFound(id)
  let total = read(head).spend ?? NO_SPEND
  if (head.kind !== 'flow') return total
  for await (const [key] of store.entries(headsWithin(id))) {
    const inner = await loadHead(store, toRunId(key))
    if (inner?.kind !== 'agent') continue
    const { spend, owner } = read(inner)
    if (spend !== undefined && owner !== 'agent') total = addSpend(total, spend)
  }
  return total
}
