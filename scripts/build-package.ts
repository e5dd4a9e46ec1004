/**
 * Bundles the sources into `dist`: a file for each entry of the package, the command and the programs that are processes of their own, and files for what these share. Modules are
 * loaded in a third of the time that way. All are in one folder, so what is found by `import.meta.url` is found from any of them.
 */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { buildPage } from './build-page.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

await build({
  absWorkingDir: root,
  entryPoints: {
    index: 'src/index.ts',
    client: 'src/management/index.ts',
    observe: 'src/observe/index.ts',
    otel: 'src/otel/index.ts',
    replay: 'src/replay/index.ts',
    testing: 'src/testing/index.ts',
    perdure: 'src/cli/main.ts',
    supervisor: 'src/actors/supervisor.ts',
    child: 'src/testing/explore/child.ts',
  },
  outdir: 'dist',
  chunkNames: 'chunk-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22.18',
  packages: 'external',
  sourcemap: 'linked',
  sourcesContent: false, // the sources are in the package
  logLevel: 'warning',
})
await buildPage(join(root, 'dist/page'))
