/**
 * What importing the package costs over Node's own start: `npm run bench`.
 *
 * Each figure is the median of 20 child processes which alternate with as many that import nothing, so that whatever else the machine does
 * falls on both alike. The limit is that of the package as it is installed, its built files; `npm run bench -- --limit-ms 80`
 * exits with 1 above it.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '20' }, 'limit-ms': { type: 'string' } } })
const rounds = Number(values.rounds)
const limitMs = values['limit-ms'] === undefined ? Number.POSITIVE_INFINITY : Number(values['limit-ms'])

interface Subject {
  readonly name: string
  readonly specifier: string
  readonly flags?: readonly string[]
}

const built: Subject = { name: 'perdure, built', specifier: 'perdure' }
const subjects: readonly Subject[] = [
  built,
  { name: 'perdure, source', specifier: 'perdure', flags: ['--conditions=perdure/source'] },
  { name: 'perdure/testing, built', specifier: 'perdure/testing' },
  ...['zod', 'xstate', '@xstate/store', 'msgpackr/pack'].map((specifier) => ({ name: `  of it: ${specifier}`, specifier })),
]

function measureMs(code: string, flags: readonly string[] = []): number {
  const startedAt = performance.now()
  const { status, stderr } = spawnSync(process.execPath, [...flags, '--input-type=module', '--eval', code], { cwd: root })
  const endedAt = performance.now()
  if (status !== 0) throw new Error(`\`${code}\` failed. Is the package built (npm run build)?\n${stderr}`)
  return endedAt - startedAt
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle) - 1] ?? Number.NaN)) / 2
}

console.log(`Node ${process.version}, median of ${rounds} processes each, in ms over Node's own start`)
for (const { name, specifier, flags } of subjects) {
  const code = `import '${specifier}'`
  measureMs(code, flags) // what is read for the first time is not yet in the page cache
  const empty: number[] = []
  const full: number[] = []
  for (let round = 0; round < rounds; round += 1) {
    empty.push(measureMs('', flags))
    full.push(measureMs(code, flags))
  }
  const costMs = median(full) - median(empty)
  console.log(`${name.padEnd(28)}${costMs.toFixed(1).padStart(7)}   (${median(full).toFixed(1)} - ${median(empty).toFixed(1)})`)
  if (name === built.name && costMs > limitMs) {
    console.error(`Expected at most ${limitMs} ms`)
    process.exitCode = 1
  }
}
