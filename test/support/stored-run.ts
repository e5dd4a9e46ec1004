import { encodeRecord } from '../../src/persistence/codec.ts'
import { baseKey, deltaKey, endedKey, eventKey, headKey, inboxKey, stepKey, wakeKey } from '../../src/persistence/keys.ts'
import type { Head } from '../../src/persistence/run-record.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'

/** The records of a run, as far as they matter to who deletes it. */
export interface StoredRun extends Partial<Pick<Head, 'kind' | 'name' | 'status' | 'data' | 'wakeAt' | 'endedAt'>> {
  /** How many steps it has. Default: 2. */
  readonly steps?: number
  /** The bytes of each step's value. Default: none to speak of. */
  readonly stepBytes?: number
  readonly messages?: number
}

/** Writes a run with a record at every place where one can be. */
export async function storeRun(store: Store, id: string, run: StoredRun = {}): Promise<void> {
  const { kind = 'machine', name = 'order', data = null, wakeAt, endedAt, steps = 2, stepBytes = 0, messages = 1 } = run
  const status = run.status ?? (endedAt === undefined ? 'running' : 'completed')
  const head: Head = {
    id,
    kind,
    name,
    status,
    data,
    createdAt: 1,
    updatedAt: 1,
    snapshot: { seq: 2, checksum: 1 },
    steps,
    ...(wakeAt !== undefined && { wakeAt }),
    ...(endedAt !== undefined && { endedAt }),
  }
  const put = (key: string, value: unknown = null): Operation => ({ type: 'put', key, value: encodeRecord(key, value) })
  const operations = [
    put(headKey(id), head),
    put(baseKey(id)),
    put(deltaKey(id, 1)),
    put(deltaKey(id, 2)),
    put(eventKey(id, 'e/1')),
  ]
  for (let step = 0; step < steps; step += 1)
    operations.push(put(stepKey(id, `call/${step}`), new Uint8Array(stepBytes).fill(step)))
  for (let message = 0; message < messages; message += 1) operations.push(put(inboxKey(id, String(message).padStart(6, '0'))))
  if (wakeAt !== undefined) operations.push(put(wakeKey(wakeAt, id)))
  if (endedAt !== undefined) operations.push(put(endedKey(endedAt, id)))
  await store.write(operations, { sync: false })
}

/** All keys of a store, in order. */
export async function keysIn(store: Store): Promise<string[]> {
  const keys: string[] = []
  for await (const [key] of store.entries({ gte: '', lt: '\u{10ffff}' })) keys.push(key)
  return keys
}
