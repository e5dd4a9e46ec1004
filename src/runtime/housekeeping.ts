import { createRetention, type Retention, type RetentionPolicy } from '../persistence/retention.ts'
import type { Services } from './services.ts'

/** How long after opening, and then after each sweep, the next one begins. */
const EVERY_MS = 60_000

/** Removes in the background what `policy` does not keep. Without one nothing is removed unless it is asked for. */
export function createHousekeeping(services: Services, policy: RetentionPolicy | undefined): Pick<Retention, 'erase' | 'close'> {
  const { store, clock, now, claims, closing, emit } = services
  const retention = createRetention({
    store,
    policy: policy ?? {},
    now,
    claim: claims.claim,
    beforeErasing: async (runId) => services.files?.remove(runId),
    onDeleted: (runId) => emit({ type: 'run.removed', runId }),
    onError: (error, runId = '') => emit({ type: 'run.blocked', runId, error }),
  })
  let armed: unknown
  const arm = (): void => {
    if (closing.aborted || policy === undefined) return
    armed = clock.setTimeout(() => {
      retention.sweep().then(arm, arm) // a store that fails says so to whoever writes
    }, EVERY_MS)
    // What is to be removed does not keep the process.
    if (typeof armed === 'object' && armed !== null && 'unref' in armed && typeof armed.unref === 'function') armed.unref()
  }
  if (policy !== undefined) retention.sweep().then(arm, arm)
  return {
    erase: retention.erase,
    async close() {
      if (armed !== undefined) clock.clearTimeout(armed)
      await retention.close()
    },
  }
}
