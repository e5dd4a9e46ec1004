import { Level } from 'level'
import { openLevelStore, openRuntime } from 'perdure'
import type { Measure } from './bench.ts'
import { counter } from './counter.ts'
import { median, relative } from './figure.ts'
import { openRawDisk } from './raw-disk.ts'
import { watchWrites } from './watched-store.ts'

const RUNS = 1_000
const SENDS = 400
const BATCH = 100

/** Events that are sent to machines: each is on the disk when `send` resolves. */
export const measureEvents: Measure = async ({ rounds, folder }) => {
  const watched = watchWrites(await openLevelStore(folder('events')))
  const runtime = await openRuntime({ store: watched.store, machines: [counter], log: 'silent' })
  const runs = await Promise.all(Array.from({ length: RUNS }, (_, index) => runtime.start(counter, { id: `run-${index}` })))
  const [first] = runs
  if (first === undefined) throw new TypeError('Expected a run')
  const before = watched.bytes()
  await first.send({ type: 'flip' })
  const size = watched.bytes() - before // the references write as much

  const sendAll = async (ms: number): Promise<number> => {
    const startedAt = performance.now()
    let count = 0
    await Promise.all(
      runs.map(async (run) => {
        for (; performance.now() - startedAt < ms; count++) await run.send({ type: 'flip' })
      }),
    )
    return (count * 1_000) / (performance.now() - startedAt)
  }
  await sendAll(1_000) // compiled
  const events: number[] = []
  const records: number[] = []
  const sends: number[] = []
  const appends: number[] = []
  const disk = openRawDisk(folder('events-raw'))
  const batches = await openBatches(folder('events-level'), size)
  for (let round = 0; round < rounds; round++) {
    records.push(await batches.write(600))
    events.push(await sendAll(1_500))
    for (let index = 0; index < SENDS; index++) {
      appends.push(disk.append(size))
      const startedAt = performance.now()
      await first.send({ type: 'flip' })
      sends.push(performance.now() - startedAt)
    }
  }
  await batches.close()
  disk.close()
  await runtime.close()
  const ratio = median(events.map((count, round) => count / (records[round] ?? Number.NaN)))
  const bound = { atLeast: 0.176 }
  return [
    relative(
      'p50 of an event sent to a run, synced',
      median(sends),
      'ms',
      { value: median(appends), name: 'a bare synced append' },
      { atMost: 2 },
    ),
    {
      ...relative(
        'events a second, 1,000 runs at once',
        median(events),
        '/s',
        { value: median(records), name: 'records in synced LevelDB batches of 100' },
        bound,
      ),
      ratio,
      ok: ratio >= bound.atLeast,
    },
  ]
}

/** Synced batches of LevelDB, one after the other. */
async function openBatches(path: string, size: number) {
  const database = new Level<string, string>(path)
  await database.open()
  const value = 'x'.repeat(size)
  const synced: object = { sync: true } // an option of classic-level, unknown to the abstract type
  let count = 0
  return {
    /** Records a second. */
    async write(ms: number): Promise<number> {
      const startedAt = performance.now()
      const from = count
      while (performance.now() - startedAt < ms)
        await database.batch(
          Array.from({ length: BATCH }, () => ({ type: 'put' as const, key: `record/${count++}`, value })),
          synced,
        )
      return ((count - from) * 1_000) / (performance.now() - startedAt)
    },
    close: () => database.close(),
  }
}
