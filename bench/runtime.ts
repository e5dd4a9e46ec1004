/**
 * What durable machines cost over the raw disk: `npm run bench`. Every figure is measured beside its reference in the same run, round by round, so
 * that whatever else the machine does falls on both alike. The store is in `PERDURE_BENCH_DIR`, or a temporary directory.
 *
 * `--limits` exits with 1 when a figure is beyond what is promised in docs/design.md.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Level } from 'level'
import { openRuntime } from 'perdure'
import { assign, setup } from 'xstate'

const { values } = parseArgs({
  options: { limits: { type: 'boolean', default: false }, open: { type: 'string' }, rounds: { type: 'string', default: '5' } },
})
const rounds = Number(values.rounds)

const counter = setup({ types: { context: {} as { readonly count: number }, events: {} as { type: 'flip' } } }).createMachine({
  id: 'counter',
  context: { count: 0 },
  initial: 'off',
  states: {
    off: { on: { flip: { target: 'on', actions: assign({ count: ({ context }) => context.count + 1 }) } } },
    on: { on: { flip: 'off' } },
  },
})

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
const root = mkdtempSync(join(process.env.PERDURE_BENCH_DIR ?? tmpdir(), 'perdure-bench-'))
const open = (directory: string) => openRuntime({ directory, machines: [counter], log: 'silent' })

/** Bytes of the record that an event of `counter` writes: those of the references have as many. */
async function measureRecord(): Promise<number> {
  const directory = join(root, 'record')
  {
    await using runtime = await open(directory)
    const run = await runtime.start(counter, { id: 'run-0' })
    await run.send({ type: 'flip' })
  }
  const database = new Level<string, Uint8Array>(directory, { valueEncoding: 'view' })
  const bytes = await database.get('h/run-0')
  await database.close()
  if (bytes === undefined) throw new Error('The record of a run is not where it was')
  return bytes.byteLength
}

/** Milliseconds of one `write` of `size` bytes and its `fdatasync`. */
function measureSync(count: number, size: number): number[] {
  const file = openSync(join(root, 'raw'), 'a')
  const bytes = Buffer.alloc(size, 'x')
  const times: number[] = []
  for (let index = 0; index < count; index++) {
    const startedAt = performance.now()
    writeSync(file, bytes)
    fdatasyncSync(file)
    times.push(performance.now() - startedAt)
  }
  closeSync(file)
  return times
}

/** Records a second of synced LevelDB batches of 100 records of `size` bytes, one after the other. */
async function measureBatches(ms: number, size: number): Promise<number> {
  const directory = join(root, 'level')
  const database = new Level<string, string>(directory)
  await database.open()
  const value = 'x'.repeat(size)
  const startedAt = performance.now()
  let count = 0
  while (performance.now() - startedAt < ms) {
    const batch = Array.from({ length: 100 }, () => ({ type: 'put' as const, key: `record/${count++}`, value }))
    const options: object = { sync: true } // an option of classic-level, unknown to the abstract type
    await database.batch(batch, options)
  }
  const perSecond = (count / (performance.now() - startedAt)) * 1000
  await database.close()
  rmSync(directory, { recursive: true })
  return perSecond
}

const failures: string[] = []
function report(what: string, value: string, ratio: number, limit: number, isGood: boolean): void {
  console.log(`${what.padEnd(46)}${value.padStart(24)}   ratio ${ratio.toFixed(2).padStart(6)}   limit ${limit}`)
  if (!isGood) failures.push(what)
}

async function benchRuns(): Promise<void> {
  const recordBytes = await measureRecord()
  console.log(`An event writes one record of ${recordBytes} bytes, and so do the references`)
  await using runtime = await open(join(root, 'runs'))
  const runs = await Promise.all(Array.from({ length: 1_000 }, (_, index) => runtime.start(counter, { id: `run-${index}` })))
  const throughput = async (ms: number): Promise<number> => {
    const startedAt = performance.now()
    let count = 0
    await Promise.all(
      runs.map(async (run) => {
        for (; performance.now() - startedAt < ms; count++) await run.send({ type: 'flip' })
      }),
    )
    return (count / (performance.now() - startedAt)) * 1000
  }
  await throughput(1_000) // compiled
  const events: number[] = []
  const records: number[] = []
  for (let round = 0; round < rounds; round++) {
    records.push(await measureBatches(600, recordBytes))
    events.push(await throughput(1_500))
  }
  const ratio = median(events.map((count, index) => count / (records[index] ?? Number.NaN)))
  const limit = 15_000 / 85_000
  report(
    'durable events a second, 1,000 runs',
    `${Math.round(median(events))} (${Math.round(median(records))})`,
    ratio,
    Number(limit.toFixed(3)),
    ratio >= limit,
  )

  const run = runtime.get<typeof counter>('run-0')
  const sends: number[] = []
  const syncs: number[] = []
  for (let round = 0; round < rounds * 4; round++) {
    syncs.push(...measureSync(100, recordBytes))
    for (let index = 0; index < 100; index++) {
      const startedAt = performance.now()
      await run.send({ type: 'flip' })
      sends.push(performance.now() - startedAt)
    }
  }
  const latency = median(sends) / median(syncs)
  report(
    'p50 of one send, ms (write + fdatasync)',
    `${median(sends).toFixed(3)} (${median(syncs).toFixed(3)})`,
    latency,
    2,
    latency <= 2,
  )
}

/** Another process opens a store in which 100,000 runs wait. */
async function benchOpening(): Promise<void> {
  const directory = join(root, 'waiting')
  const count = 100_000
  {
    await using runtime = await openRuntime({ directory, machines: [counter], log: 'silent', durability: 'process' })
    for (let done = 0; done < count; done += 1_000)
      await Promise.all(Array.from({ length: 1_000 }, (_, index) => runtime.start(counter, { id: `run-${done + index}` })))
  }
  const times: number[] = []
  const sizes: number[] = []
  for (let round = 0; round < rounds; round++) {
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      [...process.execArgv, fileURLToPath(import.meta.url), '--open', directory],
      { encoding: 'utf8' },
    )
    if (status !== 0) throw new Error(stderr)
    const { ms, bytes } = JSON.parse(stdout) as { readonly ms: number; readonly bytes: number } // written below
    times.push(ms)
    sizes.push(bytes / 1e6)
  }
  report(`opening with ${count} waiting runs, s`, (median(times) / 1000).toFixed(3), median(times) / 300, 1, median(times) < 300)
  report('  memory of the process, MB', median(sizes).toFixed(0), median(sizes) / 150, 1, median(sizes) < 150)
}

if (values.open === undefined) {
  console.log(`Node ${process.version}, medians of ${rounds} rounds; references in brackets`)
  try {
    await benchRuns()
    await benchOpening()
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
  if (failures.length > 0 && values.limits) {
    console.error(`Beyond their limits: ${failures.join('; ')}`)
    process.exitCode = 1
  }
} else {
  rmSync(root, { recursive: true, force: true })
  const startedAt = performance.now()
  const runtime = await open(values.open)
  const ms = performance.now() - startedAt
  await runtime.resume()
  console.log(JSON.stringify({ ms, bytes: process.memoryUsage().rss }))
  await runtime.close()
}
