import { setTimeout as wait } from 'node:timers/promises'
import type { Connection } from '../management/client.ts'

/** What has happened is looked at again after this long at the latest, and at most this often. */
const LATEST_MS = 2_000
const SOONEST_MS = 250

/** Resolves when something has happened in the store, or some time has passed, or `signal` aborts. */
export async function untilChange(store: Connection, signal: AbortSignal): Promise<void> {
  const ending = new AbortController()
  const over = AbortSignal.any([ending.signal, signal])
  const quiet = (): void => {} // what ended is told by the next look at the store
  const events = store.events({ signal: over })[Symbol.asyncIterator]()
  await Promise.race([events.next().catch(quiet), wait(LATEST_MS, undefined, { signal: over }).catch(quiet)])
  ending.abort()
  await wait(SOONEST_MS, undefined, { signal }).catch(quiet)
}
