import { openLevelStore, openRuntime } from 'perdure'
import type { Measure } from './bench.ts'
import { absolute, median } from './figure.ts'
import { buildBenchAgent, heard, promptOf, transcriptBytes } from './turn.ts'
import { watchWrites } from './watched-store.ts'

const TURNS = 2_000

/** What it costs to fork a long conversation: near its beginning, in the middle of a turn, and at its end. */
export const measureFork: Measure = async ({ folder, rounds }) => {
  const directory = folder('fork')
  const filling = await openRuntime({ directory, log: 'silent', durability: 'process' })
  const session = filling.durable(buildBenchAgent()).session('one')
  for (let turn = 1; turn <= TURNS; turn++) await session.run(promptOf(turn), { id: `turn-${turn}` })
  await filling.close()
  const transcript = transcriptBytes(heard.messages)

  const watched = watchWrites(await openLevelStore(directory))
  const runtime = await openRuntime({ store: watched.store, log: 'silent' })

  const points = [{ turn: 3 }, { turn: TURNS / 2, call: 'm2' }, { turn: TURNS }, { after: TURNS }] as const
  const times: number[] = []
  const sizes: number[] = []
  for (let round = 0; round < 5 * rounds; round++)
    for (const at of points) {
      const before = watched.bytes()
      const from = performance.now()
      await runtime.fork('bench/one', { at })
      if (round > 0) times.push(performance.now() - from)
      sizes.push(watched.bytes() - before)
    }
  await runtime.close()
  const title = `a fork of ${TURNS.toLocaleString('en-US')} turns`
  return [
    absolute(`${title}, synced`, median(times), 'ms', { atMost: 10 }),
    absolute(
      `bytes of ${title}`,
      Math.max(...sizes),
      'B',
      { atMost: 5_000 },
      { value: transcript, name: 'the transcript, as JSON' },
    ),
  ]
}
