import { PerdureError } from '../errors.ts'

/** Opening a store creates it: a mistyped path must not become one. Errors: `STORE_PATH_INVALID`. */
export async function assertStore(directory: string): Promise<void> {
  const { inspectDirectory } = await import('../persistence/store-directory.ts')
  try {
    const kind = await inspectDirectory(directory)
    if (kind !== 'empty' && kind !== 'unfinished') return
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isMissing) return // opening it says what is wrong
  }
  throw new PerdureError(
    'STORE_PATH_INVALID',
    `There is no store at ${directory}. Nothing was created. Name the directory that \`openRuntime\` is given.`,
    { details: { directory } },
  )
}
