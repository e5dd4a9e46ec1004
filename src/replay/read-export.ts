import { importRun } from '../management/import.ts'
import { createClaims } from '../runtime/claims.ts'
import { openMemoryStore } from '../runtime/stores.ts'
import { type RunRecording, readRecording } from './recording.ts'

/**
 * Reads what is recorded of a run from its export: from a file (`*.perdure`), or as `connect` of `perdure/client` gives it, whoever has the store open. All of it is in memory.
 *
 * Errors: `EXPORT_INVALID`, what `source` throws.
 *
 * @example
 * ```ts
 * const recording = await readExport(createReadStream('order-7.perdure'))
 * await using store = await connect('.perdure')
 * const other = await readExport(store.export('order/8'))
 * ```
 */
export async function readExport(source: AsyncIterable<Uint8Array>): Promise<RunRecording> {
  const store = await openMemoryStore()
  const { claim } = createClaims()
  const { id } = await importRun({ store, claim }, source)
  return readRecording(store, id)
}
