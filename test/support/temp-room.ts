import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A temporary directory with as many unused paths as a test file wants. */
export interface TempRoom {
  readonly root: string
  /** A path in the room that does not exist yet. */
  readonly path: (name?: string) => string
  readonly remove: () => Promise<void>
}

/** Makes a room; its maker removes it when the tests are done. */
export async function createTempRoom(): Promise<TempRoom> {
  const root = await mkdtemp(join(tmpdir(), 'perdure-'))
  let count = 0
  return {
    root,
    path: (name = 'store') => {
      count += 1
      return join(root, `${name}-${count}`)
    },
    remove: () => rm(root, { recursive: true, force: true }),
  }
}
