import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** A step without a key: one that was cut off is an error in the machine, and is not executed again. */
export const subject: CrashSubject = async (life) => {
  const fax = fromStep(({ input }: StepArguments<string>) => life.outside.effect(`faxed ${input}`).then(() => input), {
    onDoubt: 'report',
  })
  const office = setup({ types: { context: {} as { readonly sent: readonly string[] } }, actors: { fax } }).createMachine({
    id: 'office',
    context: { sent: [] },
    initial: 'first',
    states: {
      first: {
        invoke: {
          src: 'fax',
          input: 'a',
          onDone: { target: 'second', actions: assign({ sent: ({ context, event }) => [...context.sent, event.output] }) },
          onError: { target: 'second', actions: assign({ sent: ({ context }) => [...context.sent, 'a?'] }) },
        },
      },
      second: {
        invoke: {
          src: 'fax',
          input: 'b',
          onDone: { target: 'over', actions: assign({ sent: ({ context, event }) => [...context.sent, event.output] }) },
          onError: { target: 'over', actions: assign({ sent: ({ context }) => [...context.sent, 'b?'] }) },
        },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.sent,
  })
  const runtime = await life.open({ machines: [office] })
  return (await runtime.start(office, { id: 'office' })).done()
}

export const accepts = (output: unknown): boolean => /^a\??,b\??$/.test(String(output))
