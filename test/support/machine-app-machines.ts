/**
 * The machines of `machine-app.ts`. What they come to does not depend on when they run: outputs hold no times and no random numbers, so that a run that was
 * killed can be held against one that was not.
 */
import { appendFileSync } from 'node:fs'
import { fromStep, type StepArguments, sendToRun } from 'perdure'
import { assign, cancel, enqueueActions, fromPromise, raise, sendParent, sendTo, setup } from 'xstate'

/** How much there is to do. */
export const plan = {
  counters: 3,
  /** Events from outside to each counter. */
  events: 60,
  ring: 5,
  /** Tokens that are put into the ring, and how often each is passed on. */
  tokens: 6,
  hops: 60,
  /** Machines that do steps, of which each has two children that do as many in parallel. */
  workers: 2,
  steps: 12,
  clocks: 3,
  ticks: 25,
  askers: 2,
  questions: 12,
} as const

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
export const counterIds = numbers(plan.counters).map((index) => `counter-${index}`)
export const ringIds = numbers(plan.ring).map((index) => `ring-${index}`)

/** Every run: its machine and its input. Ids of one kind differ in their number. */
export const allRuns: readonly { readonly id: string; readonly machine: string; readonly input: unknown }[] = [
  ...counterIds.map((id) => ({ id, machine: 'counter', input: undefined })),
  ...ringIds.map((id, index) => ({ id, machine: 'ring', input: { index } })).slice(1),
  { id: 'collector', machine: 'collector', input: undefined },
  ...numbers(plan.workers).map((index) => ({ id: `boss-${index}`, machine: 'boss', input: undefined })),
  ...numbers(plan.clocks).map((index) => ({ id: `clock-${index}`, machine: 'clock', input: { delayMs: 4 + 13 * index } })),
  ...numbers(plan.askers).map((index) => ({ id: `asker-${index}`, machine: 'asker', input: { index } })),
  // It begins to send as it starts, so those that it sends to are there.
  { id: 'ring-0', machine: 'ring', input: { index: 0 } },
]

/** Work that takes a while, the same for the same thing. */
const pause = (seed: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, (seed * 7) % 11))

/** `effects`: a file that gets a line for each execution of a step or promise. */
export function createMachines(effects: string) {
  const note = (...words: readonly (string | number)[]): void => appendFileSync(effects, `${words.join(' ')}\n`)

  const counter = setup({
    types: { context: {} as { readonly got: readonly number[] }, events: {} as { type: 'add'; n: number } },
  }).createMachine({
    id: 'counter',
    context: { got: [] },
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context }) => context.got.length >= plan.events, target: 'full' },
        on: { add: { actions: assign({ got: ({ context, event }) => [...context.got, event.n] }) } },
      },
      full: { type: 'final' },
    },
    output: ({ context }) => context.got,
  })

  type Token = { readonly type: 'token'; readonly token: number; readonly hops: number; readonly seq: number }
  const ring = setup({
    types: {
      context: {} as { readonly index: number; readonly sent: number; readonly taken: number; readonly wrong: readonly string[] },
      input: {} as { readonly index: number },
      events: {} as Token | { type: 'end' },
    },
  }).createMachine({
    id: 'ring',
    context: ({ input: { index } }) => ({ index, sent: 0, taken: 0, wrong: [] }),
    // The first puts all tokens into the ring as it starts.
    entry: enqueueActions(({ context, enqueue }) => {
      if (context.index !== 0) return
      for (const token of numbers(plan.tokens)) enqueue(sendToRun('ring-1', { type: 'token', token, hops: 1, seq: token }))
      enqueue(assign({ sent: plan.tokens }))
    }),
    initial: 'open',
    states: {
      open: {
        on: {
          token: {
            actions: enqueueActions(({ context, event: { token, hops, seq }, enqueue }) => {
              const isNext = seq === context.taken // its one sender numbers what it sends
              const wrong = isNext ? context.wrong : [...context.wrong, `message ${seq} came after ${context.taken}`]
              enqueue(assign({ taken: context.taken + 1, wrong }))
              if (hops === plan.hops) enqueue(sendToRun('collector', { type: 'arrived', token, from: `ring-${context.index}` }))
              else {
                const next = `ring-${(context.index + 1) % plan.ring}`
                enqueue(sendToRun(next, { type: 'token', token, hops: hops + 1, seq: context.sent }))
                enqueue(assign({ sent: context.sent + 1 }))
              }
            }),
          },
          end: 'ended',
        },
      },
      ended: { type: 'final' },
    },
    output: ({ context: { sent, taken, wrong } }) => ({ sent, taken, wrong }),
  })

  const collector = setup({
    types: {
      context: {} as { readonly arrived: readonly string[] },
      events: {} as { type: 'arrived'; token: number; from: string },
    },
  }).createMachine({
    id: 'collector',
    context: { arrived: [] },
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context }) => context.arrived.length >= plan.tokens, target: 'full' },
        on: {
          arrived: {
            actions: assign({ arrived: ({ context, event }) => [...context.arrived, `${event.token} at ${event.from}`] }),
          },
        },
      },
      full: { type: 'final', entry: ringIds.map((id) => sendToRun(id, { type: 'end' })) },
    },
    output: ({ context }) => context.arrived.toSorted(),
  })

  const work = fromStep(async ({ input, key, attempt }: StepArguments<number>) => {
    note('step', key, attempt)
    await pause(input)
    if (input % 5 === 4) throw new RangeError(`step ${input} fails`)
    return input * input
  })
  const worker = setup({
    types: {
      context: {} as { readonly results: readonly unknown[]; readonly n: number },
      input: {} as { readonly from: number },
      output: {} as readonly unknown[],
    },
    actors: { work },
  }).createMachine({
    id: 'worker',
    context: ({ input: { from } }) => ({ results: [], n: from }),
    initial: 'working',
    states: {
      working: {
        always: { guard: ({ context }) => context.results.length === plan.steps, target: 'ended' },
        invoke: {
          src: 'work',
          input: ({ context }) => context.n,
          onDone: {
            target: 'working',
            reenter: true,
            actions: assign(({ context, event }) => ({ results: [...context.results, event.output], n: context.n + 1 })),
          },
          onError: {
            target: 'working',
            reenter: true,
            actions: assign(({ context, event }) => ({
              results: [...context.results, String(event.error)],
              n: context.n + 1,
            })),
          },
        },
      },
      ended: { type: 'final' },
    },
    output: ({ context }) => context.results,
  })
  const boss = setup({
    types: { context: {} as Readonly<Record<string, unknown>> },
    actors: { worker },
  }).createMachine({
    id: 'boss',
    context: {},
    type: 'parallel',
    states: Object.fromEntries(
      ['a', 'b'].map((name, index) => [
        name,
        {
          initial: 'waiting',
          states: {
            waiting: {
              invoke: {
                id: name,
                src: 'worker',
                input: { from: index * 100 },
                onDone: { target: 'over', actions: assign(({ event }) => ({ [name]: event.output })) },
              },
            },
            over: { type: 'final' },
          },
        } as const,
      ]),
    ),
    output: ({ context }) => context,
  })

  /** Hears of events with a delay from its parent, and tells how often. */
  const bell = setup({
    types: { context: {} as { readonly times: number }, events: {} as { type: 'ring'; n: number } },
  }).createMachine({
    id: 'bell',
    context: { times: 0 },
    on: {
      ring: {
        actions: [
          assign({ times: ({ context }) => context.times + 1 }),
          sendParent(({ context, event }) => ({ type: 'rung', n: event.n, times: context.times })),
        ],
      },
    },
  })
  interface ClockContext {
    readonly delayMs: number
    readonly tick: number
    /** When the timers of the tick were set. */
    readonly setAt: number
    readonly pings: readonly number[]
    readonly rung: readonly string[]
    readonly early: readonly string[]
  }
  /** What came before its time. Node's own timeouts may come a millisecond early. */
  const toEarly = (context: ClockContext, what: string, delayMs: number): readonly string[] => {
    const passedMs = Date.now() - context.setAt
    return passedMs + 1 >= delayMs
      ? context.early
      : [...context.early, `${what} ${context.tick} after ${passedMs} ms of ${delayMs}`]
  }
  const clock = setup({
    types: {
      context: {} as ClockContext,
      input: {} as { readonly delayMs: number },
      events: {} as { type: 'ping'; n: number } | { type: 'rung'; n: number; times: number } | { type: 'never' },
    },
    actors: { bell },
    delays: {
      between: ({ context }) => context.delayMs,
      half: ({ context }) => context.delayMs / 2,
      threeQuarters: ({ context }) => context.delayMs * 0.75,
    },
  }).createMachine({
    id: 'clock',
    context: ({ input: { delayMs } }) => ({ delayMs, tick: 0, setAt: 0, pings: [], rung: [], early: [] }),
    invoke: { src: 'bell', id: 'bell' },
    initial: 'ticking',
    states: {
      ticking: {
        entry: [
          assign({ setAt: () => Date.now() }),
          raise(({ context }) => ({ type: 'ping', n: context.tick }), { delay: 'half' }),
          raise({ type: 'never' }, { delay: 'threeQuarters', id: 'cancelled' }),
          sendTo('bell', ({ context }) => ({ type: 'ring', n: context.tick }), { delay: 'half' }),
        ],
        after: {
          between: [
            {
              guard: ({ context }) => context.tick + 1 < plan.ticks,
              target: 'ticking',
              reenter: true,
              actions: assign(({ context }) => ({
                tick: context.tick + 1,
                early: toEarly(context, 'tick', context.delayMs),
              })),
            },
            { target: 'resting' },
          ],
        },
      },
      // All that is still under way has come by then.
      resting: { after: { between: 'over' } },
      over: { type: 'final' },
    },
    on: {
      never: { actions: assign(({ context }) => ({ early: [...context.early, 'a timer that was cancelled'] })) },
      rung: { actions: assign({ rung: ({ context, event }) => [...context.rung, `${event.n} as ${event.times}`] }) },
      ping: {
        actions: [
          cancel('cancelled'),
          assign(({ context, event }) => ({
            pings: [...context.pings, event.n],
            early: toEarly(context, 'ping', context.delayMs / 2),
          })),
        ],
      },
    },
    output: ({ context: { pings, rung, early } }) => ({ pings, rung, early }),
  })

  const question = fromPromise(async ({ input }: { input: { readonly run: number; readonly n: number } }) => {
    note('promise', input.run, input.n)
    await pause(input.run + input.n)
    return `answer ${input.n}`
  })
  const asker = setup({
    types: {
      context: {} as { readonly run: number; readonly answers: readonly string[] },
      input: {} as { readonly index: number },
    },
    actors: { question },
  }).createMachine({
    id: 'asker',
    context: ({ input: { index } }) => ({ run: index, answers: [] }),
    initial: 'asking',
    states: {
      asking: {
        always: { guard: ({ context }) => context.answers.length === plan.questions, target: 'over' },
        invoke: {
          src: 'question',
          input: ({ context }) => ({ run: context.run, n: context.answers.length }),
          onDone: {
            target: 'asking',
            reenter: true,
            actions: assign({ answers: ({ context, event }) => [...context.answers, event.output] }),
          },
        },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.answers,
  })

  return [counter, ring, collector, boss, clock, asker]
}
