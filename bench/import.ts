import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Measure } from './bench.ts'
import { absolute, type Figure, median } from './figure.ts'

const PROCESSES = 4
const root = fileURLToPath(new URL('..', import.meta.url))

/** What importing costs over Node's own start: processes alternate with as many that import nothing. */
export const measureImport: Measure = async ({ rounds }) => {
  const measure = (specifier: string): { readonly ms: number; readonly start: number } => {
    const code = `import '${specifier}'`
    measureMs(code) // what is read for the first time is not yet in the page cache
    const empty: number[] = []
    const full: number[] = []
    for (let round = 0; round < rounds * PROCESSES; round++) {
      empty.push(measureMs(''))
      full.push(measureMs(code))
    }
    return { ms: median(full) - median(empty), start: median(empty) }
  }
  const zod = measure('zod')
  const toFigure = (specifier: string, atMost?: number): Figure =>
    absolute(
      `importing ${specifier}, over Node's start`,
      measure(specifier).ms,
      'ms',
      atMost === undefined ? undefined : { atMost },
      {
        value: zod.ms,
        name: 'importing zod, which it needs',
      },
    )
  return [toFigure('perdure', 80), toFigure('perdure/testing')]
}

function measureMs(code: string): number {
  const startedAt = performance.now()
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], { cwd: root })
  const endedAt = performance.now()
  if (status !== 0) throw new Error(`\`${code}\` failed. Is the package built (npm run build)?\n${stderr}`)
  return endedAt - startedAt
}
