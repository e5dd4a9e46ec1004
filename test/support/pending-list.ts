import type { Pending, PendingFilter, Runtime } from 'perdure'

/** All that waits for a person, read to its end. */
export async function readPending(runtime: Runtime, filter?: PendingFilter): Promise<Pending[]> {
  const pending: Pending[] = []
  for await (const question of runtime.pending(filter)) pending.push(question)
  return pending
}
