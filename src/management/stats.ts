import { isPerdureError } from '../errors.ts'
import { toRunId } from '../persistence/keys.ts'
import { parseHead, type RunStatus } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import type { RunInfo } from '../runtime/run-list.ts'
import { addSpend, NO_SPEND, type Spend, toOwnSpend } from '../runtime/spend.ts'
import { type DiskUsage, readDiskUsage } from './disk-usage.ts'
import { readHeadData } from './reading.ts'

/** Records of one kind. `bytes`: of keys and values, before LevelDB compresses them. */
export interface RecordCount {
  readonly count: number
  readonly bytes: number
}

const kinds = {
  h: 'heads',
  b: 'snapshots',
  d: 'snapshots',
  k: 'steps',
  s: 'steps',
  e: 'events',
  i: 'messages',
  q: 'indexes',
  w: 'indexes',
  f: 'indexes',
  p: 'indexes',
} as const // the kinds
type RecordKind = (typeof kinds)[keyof typeof kinds] | 'others'

/** What is in a store. */
export interface StoreStats {
  /** All runs, with those that belong to others. */
  readonly runs: number
  readonly byStatus: Readonly<Record<RunStatus | 'unreadable', number>>
  /** Of those that can be read. */
  readonly byKind: Readonly<Record<RunInfo['kind'], number>>
  /** How many questions wait for a person. */
  readonly pending: number
  /** What all calls of all runs have cost; those of runs that were deleted are not among them. */
  readonly spend: Spend
  readonly records: Readonly<Record<RecordKind, RecordCount>>
  /** Bytes on disk; 0 for a store in memory. */
  readonly disk: DiskUsage
}

/** Reads a store once, as of one moment. Errors: those of `Store`. */
export async function readStats(store: Pick<Store, 'entries' | 'location'>): Promise<StoreStats> {
  const byStatus = { running: 0, completed: 0, failed: 0, cancelled: 0, incompatible: 0, unreadable: 0 }
  const byKind = { machine: 0, flow: 0, agent: 0 }
  const names: readonly RecordKind[] = [...new Set<RecordKind>(Object.values(kinds)), 'others']
  const counts = new Map(names.map((name) => [name, { count: 0, bytes: 0 }]))
  let pending = 0
  let spend = NO_SPEND
  for await (const [key, bytes] of store.entries({ gte: '', lt: '\u{10ffff}' })) {
    const count = counts.get(toKind(key))
    if (count !== undefined) {
      count.count += 1
      count.bytes += key.length + bytes.byteLength
    }
    if (key.startsWith('q/')) pending += 1
    if (!key.startsWith('h/')) continue
    try {
      const head = parseHead(toRunId(key), key, bytes)
      spend = addSpend(spend, toOwnSpend(readHeadData(head)))
      byStatus[head.status] += 1
      byKind[head.kind as RunInfo['kind']] += 1 // there are no others
    } catch (error) {
      if (!isPerdureError(error)) throw error
      byStatus.unreadable += 1
    }
  }
  const records = Object.fromEntries(counts) as Readonly<Record<RecordKind, RecordCount>> // each has its name
  return { runs: records.heads.count, byStatus, byKind, pending, spend, records, disk: await readDiskUsage(store.location) }
}

function toKind(key: string): RecordKind {
  const [section = '', , part = ''] = key.split('/', 3)
  const name = section === 'r' ? part : section
  return name in kinds ? kinds[name as keyof typeof kinds] : 'others' // checked in this line
}
