/** Bundles the page of the dashboard into a folder. What a view needs that few open (the layout of charts, plots) is a file of its own. */
import { copyFile, mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('..', import.meta.url))
const page = join(root, 'src/dashboard/page')

export async function buildPage(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await build({
    absWorkingDir: root,
    entryPoints: { page: join(page, 'main.tsx'), style: join(page, 'style.css') },
    outdir: folder,
    bundle: true,
    splitting: true,
    minify: true,
    format: 'esm',
    target: ['chrome111', 'firefox113', 'safari16.4'],
    chunkNames: '[name]-[hash]',
    tsconfig: join(page, 'tsconfig.json'),
    legalComments: 'none',
    logLevel: 'warning',
  })
  await copyFile(join(page, 'index.html'), join(folder, 'index.html'))
  // A worker of its own, so that the layout of a large chart does not hold up the page.
  const layout = require.resolve('elkjs/lib/elk-worker.min.js')
  await copyFile(layout, join(folder, 'layout-worker.js'))
  await copyFile(require.resolve('elkjs/LICENSE.md'), join(folder, 'layout-worker.LICENSE.md')) // EPL-2.0 wants to be there
}
