import type { OpenLevelStoreOptions } from '../persistence/leveldb.ts'
import type { Store } from '../persistence/store.ts'

/** The stores there are, loaded when the first of them is opened: importing the package costs little. */

/**
 * Opens the store in a directory (LevelDB) and owns it until it is closed; creates both, readable by this user only, unless they exist.
 *
 * When it resolves, the store and the directory are on disk. A process that dies in the middle leaves a directory that can be opened.
 *
 * Errors: `STORE_LOCKED` (who holds it: `details.pid`), `STORE_PATH_INVALID` (a file, or a directory with other things in it),
 * `STORE_NOT_WRITABLE`, `STORE_FULL` (nothing is lost), `STORE_CORRUPT`, `STORE_FORMAT_NEWER`, `ABORTED`.
 */
export const openLevelStore = async (directory: string, options?: OpenLevelStoreOptions): Promise<Store> =>
  (await import('../persistence/leveldb.ts')).openLevelStore(directory, options)

/** Opens an empty store in memory: the same contract, gone when it is closed. For tests, and for runs that need not last. */
export const openMemoryStore = async (): Promise<Store> => (await import('../persistence/memory.ts')).openMemoryStore()
