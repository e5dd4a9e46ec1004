import { isPerdureError } from '../errors.ts'
import { headsWithin, toRunId } from '../persistence/keys.ts'
import { openRunLog, type RunLog } from '../persistence/run-log.ts'
import type { Services } from './services.ts'
import { withdrawQuestions } from './withdrawal.ts'

/**
 * Ends what a run that was cancelled has left in its conversations, and in those of the agents that work for their calls: commands that outlived their process, open
 * questions, turns that were cut off. None of them is in memory. On disk when it resolves.
 */
export async function cancelConversations(services: Services, run: string, error: Error): Promise<void> {
  const { store, files } = services
  // A parent comes before its children: their ids begin with its.
  const owners = new Set([run])
  for await (const [key] of store.entries(headsWithin(run))) {
    const log = await openReadable(services, toRunId(key))
    if (log === undefined || !isOf(owners, run, log)) continue
    owners.add(log.id)
    await files?.remove(log.id)
    const withdrawn = await withdrawQuestions(services, log, error)
    if (log.head.status !== 'running' && withdrawn === 0) continue
    log.update({ status: 'cancelled' })
    await log.commit()
  }
}

/** A damaged run is none that could be stopped: it is in nobody's way. */
async function openReadable(services: Services, id: string): Promise<RunLog | undefined> {
  try {
    return await openRunLog(services, id)
  } catch (error) {
    if (isPerdureError(error, 'RUN_CORRUPT')) return undefined
    throw error
  }
}

function isOf(owners: ReadonlySet<string>, run: string, { head: { kind, id, name, data } }: RunLog): boolean {
  if (kind !== 'agent' || typeof data !== 'object' || data === null) return false
  if ('parent' in data && data.parent !== undefined) return typeof data.parent === 'string' && owners.has(data.parent)
  return 'owner' in data && data.owner === 'flow' && id === `${run}/${name}` // as earlier versions wrote it
}
