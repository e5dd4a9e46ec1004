import { createLevelStore } from './level-store.ts'
import type { Store } from './store.ts'

// The database hands out what it holds: without copies a reader could change what is stored.
const copiedBytes = {
  name: 'perdure-copied-bytes',
  format: 'view' as const, // `as const`: the literal that level-transcoder asks for
  encode: (value: Uint8Array): Uint8Array => new Uint8Array(value),
  decode: (value: Uint8Array): Uint8Array => new Uint8Array(value),
}

/**
 * Opens an empty store in memory: same adapter, same contract, gone when the process ends or the store is closed. For tests and
 * for runs that need not last.
 */
export async function openMemoryStore(): Promise<Store> {
  const { MemoryLevel } = await import('memory-level')
  const database = new MemoryLevel<string, Uint8Array>({ storeEncoding: 'view', keyEncoding: 'utf8', valueEncoding: copiedBytes })
  await database.open()
  return createLevelStore(database, { location: 'memory', epoch: 1 })
}
