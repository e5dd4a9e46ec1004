import type { CrashSubject } from 'perdure/testing'
import { assign, fromCallback, sendTo, setup } from 'xstate'

/** A callback keeps nothing: after a restart it is there again, and answers what it is sent. */
export const subject: CrashSubject = async (life) => {
  const cave = fromCallback<{ type: 'say'; text: string }>(({ receive, sendBack }) =>
    receive(({ text }) => sendBack({ type: 'heard', text: `${text}, ${text}` })),
  )
  const hiker = setup({
    types: {
      context: {} as { readonly heard: readonly string[] },
      events: {} as { type: 'call'; text: string } | { type: 'heard'; text: string },
    },
    actors: { cave },
  }).createMachine({
    id: 'hiker',
    context: { heard: [] },
    invoke: { src: 'cave', id: 'cave' },
    initial: 'there',
    states: {
      there: {
        always: { guard: ({ context }) => context.heard.length === 3, target: 'home' },
        on: {
          call: { actions: sendTo('cave', ({ event }) => ({ type: 'say', text: event.text })) },
          heard: { actions: assign({ heard: ({ context, event }) => [...context.heard, event.text] }) },
        },
      },
      home: { type: 'final' },
    },
    output: ({ context }) => context.heard,
  })
  const runtime = await life.open({ machines: [hiker] })
  const run = await runtime.start(hiker, { id: 'hiker' })
  for (const text of ['hello', 'is there', 'bye'])
    await life.outside.once(text, () => run.send({ type: 'call', text }, { id: text }))
  return run.done()
}
