import { openLevelStore, openRuntime } from 'perdure'
import type { Measure } from './bench.ts'
import { absolute, median, relative } from './figure.ts'
import { openHandWritten } from './hand-written.ts'
import { buildBenchAgent, heard, promptOf, transcriptBytes } from './turn.ts'
import { watchWrites } from './watched-store.ts'

const TURNS = 2_000
const TRANSCRIPT_TURNS = 1_000
/** Turns about the tenth and about the last: a single one may hold a new base of the snapshot, or may not. */
const WINDOW = 20

/** How many bytes a turn writes, at the beginning of a long conversation and at its end. */
export const measureBytes: Measure = async ({ folder }) => {
  const agent = buildBenchAgent()
  const watched = watchWrites(await openLevelStore(folder('bytes')))
  const runtime = await openRuntime({ store: watched.store, log: 'silent', durability: 'process' })
  const session = runtime.durable(agent).session('one')
  const perTurn: number[] = []
  let first = 0
  for (let turn = 1; turn <= TURNS; turn++) {
    const before = watched.bytes()
    await session.run(promptOf(turn), { id: `turn-${turn}` })
    perTurn.push(watched.bytes() - before)
    if (turn === TRANSCRIPT_TURNS) first = transcriptBytes(heard.messages)
  }
  await runtime.close()

  const handWritten = await openHandWritten(folder('bytes-hand-written'))
  const byHand = handWritten.start(agent.machine, 'one')
  for (let turn = 1; turn <= 10; turn++) await byHand.turn(turn)
  const atTen = handWritten.bytes()
  await byHand.turn(11)
  const handWrittenBytes = handWritten.bytes() - atTen
  await handWritten.close()

  const early = median(perTurn.slice(0, WINDOW))
  const late = median(perTurn.slice(-WINDOW))
  const written = perTurn.slice(0, TRANSCRIPT_TURNS).reduce((sum, bytes) => sum + bytes, 0)
  return [
    relative(
      `bytes a turn, at turn ${TURNS.toLocaleString('en-US')}`,
      late,
      'B',
      { value: early, name: 'at turn 10' },
      { atMost: 1.1 },
    ),
    relative(
      `bytes of ${TRANSCRIPT_TURNS.toLocaleString('en-US')} turns`,
      written,
      'B',
      { value: first, name: 'the transcript, as JSON' },
      { atMost: 3 },
    ),
    absolute('bytes of turn 11, against a hand-written store', perTurn[10] ?? Number.NaN, 'B', undefined, {
      value: handWrittenBytes,
      name: 'hand-written',
    }),
  ]
}
