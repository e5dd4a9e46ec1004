import { lstat, readdir } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'

/** Bytes of the files of a store: those of its database, and those of the commands that its runs execute. A store in memory has none. */
export interface DiskUsage {
  readonly database: number
  readonly files: number
}

export async function readDiskUsage(location: string): Promise<DiskUsage> {
  if (!isAbsolute(location)) return { database: 0, files: 0 }
  const all = await sumOf(location)
  const files = await sumOf(join(location, 'files'))
  return { database: all - files, files }
}

/** What vanishes meanwhile counts nothing. */
async function sumOf(directory: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) bytes += await sumOf(path)
    else bytes += (await lstat(path).catch(() => undefined))?.size ?? 0
  }
  return bytes
}
