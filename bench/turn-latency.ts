import { openLevelStore, openRuntime } from 'perdure'
import type { Measure } from './bench.ts'
import { median, relative, toText } from './figure.ts'
import { openHandWritten, startPlain } from './hand-written.ts'
import { openRawDisk } from './raw-disk.ts'
import { buildBenchAgent, promptOf } from './turn.ts'
import { watchWrites } from './watched-store.ts'

const APPENDS = 3
const TURNS = 100

/** How long one turn of one conversation takes, until it is on the disk. */
export const measureLatency: Measure = async ({ rounds, folder }) => {
  const agent = buildBenchAgent()
  const watched = watchWrites(await openLevelStore(folder('latency')))
  const runtime = await openRuntime({ store: watched.store, log: 'silent' })
  const session = runtime.durable(agent).session('one')
  const handWritten = await openHandWritten(folder('latency-hand-written'))
  const byHand = handWritten.start(agent.machine, 'one')
  const plain = startPlain(agent.machine)
  const disk = openRawDisk(folder('latency-raw'))

  let turn = 0
  const runOne = async (): Promise<number> => {
    const startedAt = performance.now()
    await session.run(promptOf(++turn), { id: `turn-${turn}` })
    return performance.now() - startedAt
  }
  for (let index = 0; index < TURNS; index++) await runOne() // compiled
  const ratios: number[] = []
  const all: { turns: number[]; writing: number[]; syncs: number[]; appends: number[]; byHand: number[]; plain: number[] } = {
    turns: [],
    writing: [],
    syncs: [],
    appends: [],
    byHand: [],
    plain: [],
  }
  for (let round = 0; round < rounds; round++) {
    const turns: number[] = []
    const appends: number[] = []
    for (let index = 0; index < TURNS; index++) {
      const before = { bytes: watched.bytes(), syncs: watched.syncs(), writingMs: watched.writingMs() }
      turns.push(await runOne())
      const syncs = watched.syncs() - before.syncs
      all.syncs.push(syncs)
      all.writing.push(watched.writingMs() - before.writingMs)
      // As many bytes as a commit of that turn.
      const size = Math.min(4_096, Math.round((watched.bytes() - before.bytes) / syncs))
      let sum = 0
      for (let append = 0; append < APPENDS; append++) sum += disk.append(size)
      appends.push(sum)
    }
    for (let index = 0; index < 10; index++) {
      for (const [conversation, times] of [
        [byHand, all.byHand],
        [plain, all.plain],
      ] as const) {
        const startedAt = performance.now()
        await conversation.turn(round * 10 + index + 1)
        times.push(performance.now() - startedAt)
      }
    }
    all.turns.push(...turns)
    all.appends.push(...appends)
    ratios.push(median(turns) / median(appends))
  }
  disk.close()
  await runtime.close()
  await handWritten.close()
  const figure = relative(
    'p50 of a turn, one run, synced',
    median(all.turns),
    'ms',
    { value: median(all.appends), name: 'three bare synced appends (write + fdatasync)' },
    { atMost: 1.6 },
  )
  return [
    { ...figure, ratio: median(ratios), ok: median(ratios) <= 1.6, bounds: toBounds(all) },
    relative('the same, against a hand-written store', median(all.turns), 'ms', {
      value: median(all.byHand),
      name: `hand-written, in its first ${rounds * 10} turns`,
    }),
    relative('the same, against plain XState', median(all.turns), 'ms', { value: median(all.plain), name: 'nothing kept' }),
  ]
}

/** Where the time of a turn goes. */
function toBounds(all: Readonly<Record<'turns' | 'writing' | 'syncs' | 'plain', number[]>>): string {
  const [turn, writing, plain] = [median(all.turns), median(all.writing), median(all.plain)]
  return (
    `A turn is ${median(all.syncs)} commits, one after the other, for its stubs answer at once: ${toText(writing)} ms of it is in writes. ` +
    `${toText(turn - writing)} ms is the rest, of which plain XState takes ${toText(plain)} ms. ` +
    'With a model that takes its time, the commits of the two intents to ask it are written meanwhile.'
  )
}
