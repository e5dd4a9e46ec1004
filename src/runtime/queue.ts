import { PerdureError } from '../errors.ts'
import { toAborted } from './turn.ts'

/**
 * Runs tasks one after the other, in the order in which they were asked for. A task that fails does not stop the next. One whose
 * `signal` aborts while it waits is left out, and fails at once with `ABORTED`.
 */
export type Queue = <T>(task: () => Promise<T>, signal?: AbortSignal) => Promise<T>

export function createQueue(): Queue {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> => {
    const waiting = Promise.withResolvers<never>()
    const onAbort = (): void => waiting.reject(toAborted('A turn that waited for another', signal))
    const result = last.then(() => {
      signal?.removeEventListener('abort', onAbort)
      if (signal?.aborted) throw toAborted('A turn that waited for another', signal)
      return task()
    })
    last = result.catch(() => {})
    if (signal?.aborted) onAbort()
    else signal?.addEventListener('abort', onAbort, { once: true })
    return Promise.race([result, waiting.promise])
  }
}

/** Refuses to wait for a conversation from within one of its own tool calls: it would wait for itself. Errors: `RUN_CONFLICT`. */
export function assertNotWithin(run: string, within: readonly string[] | undefined): void {
  if (within?.includes(run) === true)
    throw new PerdureError(
      'RUN_CONFLICT',
      `A tool of run \`${run}\` asks for another turn of the same conversation: it would wait for itself. Use another session.`,
      { details: { run } },
    )
}
