import type { CrashSubject } from 'perdure/testing'
import { createMachine } from 'xstate'

/** A pause in the middle: back to where it was, by deep history. */
export const subject: CrashSubject = async (life) => {
  const player = createMachine({
    id: 'player',
    initial: 'playing',
    states: {
      playing: {
        initial: 'intro',
        states: {
          intro: { on: { NEXT: 'song' } },
          song: { initial: 'verse', states: { verse: { on: { NEXT: 'chorus' } }, chorus: {} } },
          back: { type: 'history', history: 'deep' },
        },
        on: { PAUSE: 'paused', STOP: 'stopped' },
      },
      paused: { on: { PLAY: 'playing.back' } },
      stopped: { type: 'final' },
    },
  })
  const runtime = await life.open({ machines: [player] })
  const run = await runtime.start(player, { id: 'player' })
  for (const [index, type] of ['NEXT', 'NEXT', 'PAUSE', 'PLAY'].entries())
    await life.outside.once(`${index} ${type}`, () => run.send({ type }, { id: `${index}` }))
  const { historyValue } = await run.snapshot()
  await life.outside.once('stop', () => run.send({ type: 'STOP' }, { id: 'stop' }))
  await run.done()
  return Object.keys(historyValue)
}
