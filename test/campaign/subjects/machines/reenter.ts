import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Events that enter a state anew: its step is ended and begun again, its timer set again. */
export const subject: CrashSubject = async (life) => {
  const search = fromStep(async ({ input, signal }: StepArguments<string>) => {
    if (input === 'cat') return 'found a cat'
    return new Promise<string>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  })
  const box = setup({
    types: {
      context: {} as { readonly text: string; readonly found?: string },
      events: {} as { type: 'type'; text: string },
    },
    actors: { search },
  }).createMachine({
    id: 'box',
    context: { text: '' },
    initial: 'idle',
    on: { type: { target: '.searching', reenter: true, actions: assign({ text: ({ event }) => event.text }) } },
    states: {
      idle: {},
      searching: {
        after: { 3600000: 'idle' },
        invoke: {
          src: 'search',
          input: ({ context }) => context.text,
          onDone: { target: 'found', actions: assign({ found: ({ event }) => event.output }) },
        },
      },
      found: { type: 'final' },
    },
    output: ({ context }) => context.found,
  })
  const runtime = await life.open({ machines: [box] })
  const run = await runtime.start(box, { id: 'box' })
  for (const text of ['c', 'ca', 'cat']) await life.outside.once(text, () => run.send({ type: 'type', text }, { id: text }))
  return run.waitFor(({ context }) => context.found !== undefined).then(({ context }) => context.found)
}
