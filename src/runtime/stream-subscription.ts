import { PerdureError } from '../errors.ts'
import type { Committer } from '../persistence/commit.ts'
import type { Services } from './services.ts'
import type { RunningCall } from './stream-call.ts'

/** What one subscriber has yet to look at. */
export interface Subscription {
  /** The calls that changed and were not looked at since. */
  readonly changed: Set<RunningCall>
  /** Calls that had settled were let go of: what there was of them is in the journal. */
  isBehind: boolean
  /** The run came to its end. */
  isEnded: boolean
  /** Resolves when something has changed since it was looked. */
  next(): Promise<void>
  /** Waits for `promise`, but not longer than the stream goes on. Errors: as {@link Subscription.assertGoing}. */
  until<T>(promise: Promise<T>): Promise<T>
  /** Errors: `ABORTED` by the signal, `STORE_CLOSED` when the runtime closes. */
  assertGoing(): void
  leave(): void
}

/** How many calls a subscriber may be behind before those that have settled are let go of. */
const MAX_BEHIND = 256

export function subscribe(
  { streams, closing }: Pick<Services, 'streams' | 'closing'>,
  runId: string,
  signal: AbortSignal | undefined,
): Subscription {
  const changed = new Set<RunningCall>()
  let limit = MAX_BEHIND
  let woken = Promise.withResolvers<void>()
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {}) // perhaps nobody waits
  const wake = (): void => woken.resolve()
  const onAbort = (): void => {
    wake()
    broken.reject(toEnd())
  }
  const toEnd = (): unknown => {
    if (closing.aborted) return closing.reason
    return new PerdureError('ABORTED', `The stream of run \`${runId}\` was aborted. The run goes on.`, { cause: signal?.reason })
  }
  const leave = streams.attend(runId, {
    onChange(call) {
      changed.add(call)
      if (changed.size > limit) {
        for (const other of changed) {
          if (other.status === 'intended') continue
          changed.delete(other)
          subscription.isBehind = true
        }
        limit = Math.max(MAX_BEHIND, changed.size * 2)
      }
      wake()
    },
    onEnd() {
      subscription.isEnded = true
      wake()
    },
  })
  signal?.addEventListener('abort', onAbort)
  closing.addEventListener('abort', onAbort)

  const subscription: Subscription = {
    changed,
    isBehind: false,
    isEnded: false,
    async next() {
      await woken.promise
      woken = Promise.withResolvers()
    },
    until: (promise) => Promise.race([promise, broken.promise]),
    assertGoing() {
      if (closing.aborted || signal?.aborted) throw toEnd()
    },
    leave() {
      leave()
      signal?.removeEventListener('abort', onAbort)
      closing.removeEventListener('abort', onAbort)
    },
  }
  return subscription
}

/**
 * Resolves when what was recorded up to now is on disk. Twice: what is asked for now may go to the disk beside a batch that is being written, and not after it.
 * Errors: those of `Committer.commit`.
 */
export async function written(committer: Committer): Promise<void> {
  const nothing = { prepare: () => [] }
  await undefined // whoever records something asks for its commit in the same stretch
  await committer.commit(nothing)
  await committer.commit(nothing)
}
