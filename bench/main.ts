/**
 * `npm run bench [-- name …]`: what durability costs, each figure beside a reference that is measured in the same run, round by round, so that whatever else the
 * machine does falls on both alike. Stores are in `PERDURE_BENCH_DIR`, or a temporary folder. What is measured is the package as it is built.
 *
 * - `--rounds N`: how often each figure is measured; the median counts. Default: 5.
 * - `--json`: one object a line: `figure`, `value`, `unit`, `reference`, `ratio`, `reach`, `ok`; what a figure does not have is `null`.
 * - `--limits`: the exit code is 1 when a figure misses what it is to reach.
 *
 * Without names all are measured, and `docs/benchmarks.md` is written.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Bench, Measure } from './bench.ts'
import { measureCheckpoint } from './checkpoint.ts'
import { measureEvents } from './events.ts'
import type { Figure } from './figure.ts'
import { measureFork } from './fork.ts'
import { measureImport } from './import.ts'
import { measureLs } from './ls.ts'
import { toLine, toPage } from './page.ts'
import { measureResume } from './resume.ts'
import { measureBytes } from './turn-bytes.ts'
import { measureLatency } from './turn-latency.ts'
import { measureThroughput } from './turn-throughput.ts'
import { measureWaiting } from './waiting.ts'

const measures: Readonly<Record<string, Measure>> = {
  latency: measureLatency,
  throughput: measureThroughput,
  bytes: measureBytes,
  resume: measureResume,
  fork: measureFork,
  checkpoint: measureCheckpoint,
  waiting: measureWaiting,
  ls: measureLs,
  events: measureEvents,
  import: measureImport,
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
    limits: { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
if (!Number.isInteger(rounds) || rounds < 1)
  throw new TypeError(`Expected \`--rounds\` to be a whole number ≥ 1, got \`${values.rounds}\``)
const names = positionals.length > 0 ? positionals : Object.keys(measures)
for (const name of names)
  if (!(name in measures))
    throw new TypeError(`There is no benchmark \`${name}\`. There are: ${Object.keys(measures).join(', ')}`)

const root = mkdtempSync(join(process.env.PERDURE_BENCH_DIR ?? tmpdir(), 'perdure-bench-'))
const bench: Bench = {
  rounds,
  folder(name) {
    const path = join(root, name)
    mkdirSync(path)
    return path
  },
}
const figures: Figure[] = []
try {
  for (const name of names) {
    for (const figure of (await measures[name]?.(bench)) ?? []) {
      figures.push(figure)
      console.log(values.json ? toJson(figure) : toLine(figure))
    }
  }
} finally {
  rmSync(root, { recursive: true })
}
if (positionals.length === 0) writeFileSync(new URL('../docs/benchmarks.md', import.meta.url), toPage(figures, rounds))
if (values.limits && figures.some(({ ok }) => ok === false)) process.exitCode = 1

function toJson({ figure, value, unit, reference, ratio, reach, ok }: Figure): string {
  const all = { figure, value, unit, reference, ratio, reach, ok }
  return JSON.stringify(all, (_, item: unknown) => (item === undefined ? null : item))
}
