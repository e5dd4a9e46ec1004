import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A file of the page, by its name. No other file can be asked for. */
export interface PageFile {
  readonly type: string
  readonly bytes: Uint8Array
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

/** The page as the package has it; from sources, it is bundled first. */
export async function loadPageFiles(): Promise<ReadonlyMap<string, PageFile>> {
  if (import.meta.url.endsWith('.js')) return readFiles(fileURLToPath(new URL('./page/', import.meta.url)))
  const { buildPage }: { readonly buildPage: (folder: string) => Promise<void> } = await import(
    new URL('../../scripts/build-page.ts', import.meta.url).href // not in the package, and its bundler neither
  )
  const folder = await mkdtemp(join(tmpdir(), 'perdure-page-'))
  try {
    await buildPage(folder)
    return await readFiles(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function readFiles(folder: string): Promise<ReadonlyMap<string, PageFile>> {
  const files = new Map<string, PageFile>()
  for (const name of await readdir(folder)) {
    const type = types[extname(name)]
    if (type !== undefined) files.set(name, { type, bytes: await readFile(join(folder, name)) })
  }
  return files
}
