import { isPerdureError, type PerdureError } from '../errors.ts'
import { loadHeads, type RunStatus } from '../persistence/run-log.ts'
import type { Store } from '../persistence/store.ts'

/** What is known of a run without loading it. Times are epoch milliseconds. */
export interface RunInfo {
  readonly id: string
  /** What it is a run of: a machine, a flow, or the conversation of an agent. */
  readonly kind: 'machine' | 'flow' | 'agent'
  /** The id of the machine, or the name of the flow or agent. */
  readonly name: string
  readonly status: RunStatus
  readonly createdAt: number
  readonly updatedAt: number
  readonly endedAt: number | undefined
  /** When it goes on by itself: 0 while work of it is under way, else its earliest deadline; without, it waits for events. */
  readonly wakeAt: number | undefined
}

/** Which runs are listed: all of them, when nothing is said. */
export interface RunFilter {
  readonly status?: RunStatus | undefined
  readonly kind?: RunInfo['kind'] | undefined
  /** The id of the machine. */
  readonly machine?: string | undefined
  /** Only runs whose id comes behind this one: the last of the page before. */
  readonly after?: string | undefined
  /** At most this many. Default: all. */
  readonly limit?: number | undefined
  /** Called for a run that cannot be read. Default: it is left out. */
  readonly onError?: ((error: PerdureError) => void) | undefined
}

const statuses: readonly RunStatus[] = ['running', 'completed', 'failed', 'cancelled', 'incompatible']

/** The runs of a store, a page at a time in memory. In the order of their ids in the store. */
export async function* listRuns(
  store: Store,
  { status, kind, machine, after, limit, onError }: RunFilter,
): AsyncGenerator<RunInfo> {
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 0))
    throw new TypeError(`Expected \`limit\` to be an integer ≥ 0, got \`${String(limit)}\` (${typeof limit})`)
  if (status !== undefined && !statuses.includes(status))
    throw new TypeError(`Expected \`status\` to be one of ${statuses.join(', ')}, got \`${String(status)}\` (${typeof status})`)
  if (machine !== undefined && typeof machine !== 'string')
    throw new TypeError(`Expected \`machine\` to be the id of a machine, got \`${String(machine)}\` (${typeof machine})`)
  let left = limit ?? Number.POSITIVE_INFINITY
  if (left === 0) return
  for await (const head of loadHeads(store, after)) {
    if (isPerdureError(head)) {
      onError?.(head)
      continue
    }
    if (status !== undefined && head.status !== status) continue
    if (kind !== undefined && head.kind !== kind) continue
    if (machine !== undefined && (head.kind !== 'machine' || head.name !== machine)) continue
    const { id, name, createdAt, updatedAt, endedAt, wakeAt } = head
    yield { id, kind: head.kind as RunInfo['kind'], name, status: head.status, createdAt, updatedAt, endedAt, wakeAt } // there are no others
    if (--left === 0) return
  }
}
