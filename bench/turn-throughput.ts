import { openLevelStore, openRuntime } from 'perdure'
import type { Measure } from './bench.ts'
import { absolute, median, relative, toText } from './figure.ts'
import { type Conversation, openHandWritten, startPlain } from './hand-written.ts'
import { asked, buildBenchAgent, promptOf } from './turn.ts'
import { watchWrites } from './watched-store.ts'

const RUNS = 1_000
const TURNS = 2

/** Turns a second of 1,000 conversations at once, and how often they sync. */
export const measureThroughput: Measure = async ({ rounds, folder }) => {
  const agent = buildBenchAgent()
  const watched = watchWrites(await openLevelStore(folder('durable')))
  const runtime = await openRuntime({ store: watched.store, log: 'silent' })
  const durable = runtime.durable(agent)
  const handWritten = await openHandWritten(folder('hand-written'))
  const ids = Array.from({ length: RUNS }, (_, index) => `run-${index}`)
  const subjects = {
    plain: ids.map(() => startPlain(agent.machine)),
    durable: ids.map((id): Conversation => {
      const session = durable.session(id)
      return { turn: async (number) => void (await session.run(promptOf(number), { id: `turn-${number}` })) }
    }),
    handWritten: ids.map((id) => handWritten.start(agent.machine, id)),
  }
  let done = 0
  const measure = async (conversations: readonly Conversation[], from: number): Promise<number> => {
    const startedAt = performance.now()
    await Promise.all(
      conversations.map(async (conversation) => {
        for (let turn = from; turn < from + TURNS; turn++) await conversation.turn(turn)
      }),
    )
    return (conversations.length * TURNS * 1_000) / (performance.now() - startedAt)
  }

  const perSecond: Record<keyof typeof subjects, number[]> = { plain: [], durable: [], handWritten: [] }
  /** Milliseconds of a processor that a turn takes, by all threads. */
  const processor: Record<keyof typeof subjects, number[]> = { plain: [], durable: [], handWritten: [] }
  const writing: number[] = []
  const syncsPerCall: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const isCounted = round > 0 // the first compiles
    for (const name of ['plain', 'durable', 'handWritten'] as const) {
      const before = { syncs: watched.syncs(), calls: asked.models + asked.tools, writingMs: watched.writingMs() }
      const usage = process.cpuUsage()
      const speed = await measure(subjects[name], done + 1)
      if (!isCounted) continue
      perSecond[name].push(speed)
      const { user, system } = process.cpuUsage(usage)
      processor[name].push((user + system) / 1_000 / (RUNS * TURNS))
      if (name === 'durable') writing.push((watched.writingMs() - before.writingMs) / ((RUNS * TURNS * 1_000) / speed))
      if (name === 'durable') syncsPerCall.push((watched.syncs() - before.syncs) / (asked.models + asked.tools - before.calls))
    }
    done += TURNS
  }
  await runtime.close()
  await handWritten.close()

  const ratioTo = (name: 'plain' | 'handWritten'): number =>
    median(perSecond.durable.map((speed, round) => speed / (perSecond[name][round] ?? Number.NaN)))
  const bounds =
    `It is the processor, not the disk: a turn takes ${toText(median(processor.durable))} ms of one, in plain XState ${toText(median(processor.plain))} ms, in the hand-written store ${toText(median(processor.handWritten))} ms. ` +
    `Writes were under way for ${Math.round(100 * median(writing))} % of the time; a commit holds the changes of all runs that have any.`
  const figure = (name: 'plain' | 'handWritten', text: string, what: string, atLeast: number) => ({
    ...relative(text, median(perSecond.durable), 'turns/s', { value: median(perSecond[name]), name: what }, { atLeast }),
    ratio: ratioTo(name),
    ok: ratioTo(name) >= atLeast,
    bounds,
  })
  return [
    figure(
      'plain',
      `turns a second, ${RUNS.toLocaleString('en-US')} runs at once`,
      'the same machine in plain XState, nothing kept',
      0.6,
    ),
    figure(
      'handWritten',
      'the same, against a hand-written store',
      'createActor + level, JSON of the whole snapshot at every change',
      8,
    ),
    absolute(`fsyncs per call, ${RUNS.toLocaleString('en-US')} runs at once`, median(syncsPerCall), '', { atMost: 0.05 }),
  ]
}
