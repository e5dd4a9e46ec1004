import type { CrashSubject } from 'perdure/testing'
import { createMachine } from 'xstate'

/** Deadlines in a row, one of which has branches. */
export const subject: CrashSubject = async (life) => {
  const light = createMachine({
    id: 'light',
    initial: 'green',
    states: {
      green: { after: { 4: 'yellow' } },
      yellow: { after: { 2: 'red' } },
      red: { after: { 3: [{ guard: () => false, target: 'green' }, { target: 'off' }], 50: 'green' } },
      off: { type: 'final' },
    },
  })
  const runtime = await life.open({ machines: [light] })
  const run = await runtime.start(light, { id: 'light' })
  await run.done()
  return (await run.snapshot()).value
}
