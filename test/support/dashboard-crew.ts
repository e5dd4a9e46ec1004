/** What a dashboard shows in tests: an order with nested, parallel, history and final states and actors; an agent that asks, writes slowly, and has been told terrible things. */

import { buildAgent, fromStep, openRuntime, type Runtime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'

const courier = setup({}).createMachine({
  id: 'courier',
  initial: 'riding',
  states: { riding: { on: { arrive: 'there' } }, there: { type: 'final' } },
})

/** Never comes to its end in the first life. */
let isFirst = true
export const setLife = (life: 'first' | 'second'): void => {
  isFirst = life === 'first'
}

const charge = fromStep<string, { readonly order: string }>(
  async ({ input }) => {
    if (isFirst && input.order.endsWith('doubt')) await new Promise(() => {})
    return `charged ${input.order}`
  },
  { onDoubt: 'ask' },
)

export const order = setup({
  types: {
    context: {} as { items: number; note: string | undefined; receipt: string | undefined },
    input: {} as { items?: number } | undefined,
    events: {} as
      | { type: 'checkout' }
      | { type: 'add'; items?: number }
      | { type: 'confirm' }
      | { type: 'help' }
      | { type: 'back' }
      | { type: 'packed' }
      | { type: 'paid' },
  },
  actors: { charge, courier },
  guards: { hasItems: ({ context }) => context.items > 0 },
}).createMachine({
  id: 'order',
  version: '1',
  description: 'From the cart to the door',
  context: ({ input }) => ({ items: input?.items ?? 1, note: undefined, receipt: undefined }),
  initial: 'cart',
  states: {
    cart: {
      description: 'Waits until the customer has all they want',
      tags: ['open'],
      on: {
        add: {
          actions: assign({ items: ({ context, event }) => context.items + (event.items ?? 1) }),
          description: 'Puts more into the cart: `items`, or one',
        },
        checkout: { guard: 'hasItems', target: 'checkout', description: 'Goes on to pay' },
      },
      after: { 86400000: 'abandoned' },
    },
    checkout: {
      initial: 'address',
      on: { help: 'helping' },
      states: {
        address: { on: { confirm: 'payment' } },
        payment: {
          invoke: {
            id: 'charge',
            src: 'charge',
            input: ({ self }) => ({ order: self.id }),
            onDone: { target: '#order.fulfilment', actions: assign({ receipt: ({ event }) => event.output }) },
          },
        },
        last: { type: 'history' },
      },
    },
    helping: { description: 'A person helps', on: { back: 'checkout.last' } },
    fulfilment: {
      type: 'parallel',
      onDone: 'done',
      states: {
        parcel: {
          initial: 'packing',
          states: {
            packing: { on: { packed: 'underway' } },
            underway: { invoke: { id: 'courier', src: 'courier', onDone: 'delivered' } },
            delivered: { type: 'final' },
          },
        },
        invoice: { initial: 'open', states: { open: { on: { paid: 'settled' } }, settled: { type: 'final' } } },
      },
    },
    done: { type: 'final' },
    abandoned: { type: 'final' },
  },
})

const deploy = tool({
  name: 'deploy',
  description: 'Deploys',
  effect: 'idempotent',
  input: z.object({ to: z.string(), version: z.string() }),
  approval: true,
  run: ({ to, version }) => `deployed ${version} to ${to}`,
})
const search = tool({
  name: 'search',
  description: 'Searches',
  effect: 'idempotent',
  input: z.object({ text: z.string() }),
  run: ({ text }) => (text === 'terrible' ? terrible : `Three pages about ${text}.`),
})
const mail = tool({
  name: 'mail',
  description: 'Sends a letter',
  effect: 'external',
  input: z.object({ to: z.string() }),
  run: async ({ to }) => {
    if (isFirst) await new Promise(() => {})
    return `sent to ${to}`
  },
})

export const terrible =
  '<script>window.stolen = true</script><img src=x onerror="window.stolen = true"> \u001b[31mred\u001b[0m \u001b]0;title\u0007 \u202egnp.exe '

const answer = z.object({
  colour: z.enum(['red', 'green', 'blue']).describe('Of the front door'),
  reason: z.string().optional(),
  copies: z.int().min(1),
  glossy: z.boolean(),
})

const priced = { usage: { inputTokens: 1_240, outputTokens: 180, cachedInputTokens: 640 }, costUsd: 0.0042 }
const story = Array.from({ length: 40 }, (_, index) => `Chapter ${index + 1}: a run goes on. `)

/** `search x`, `deploy x`, `ask`, `mail x`, `tell`: the verbs of a prompt say what it calls. */
const model = scriptedModel(({ messages }) => {
  const last = messages.at(-1)
  const prompt = messages.findLast(({ role }) => role === 'user')?.content ?? ''
  const [verb = '', what = ''] = prompt.split(' ')
  if (last?.role === 'tool') {
    if (verb !== 'tell') return { text: `Here is what came of it: ${last.content.slice(0, 300)}`, ...priced }
    return { deltas: story, ...priced, ...(isFirst ? { fault: 'stall' as const } : {}) }
  }
  const calls: Readonly<Record<string, readonly [name: string, args: object]>> = {
    search: ['search', { text: what }],
    tell: ['search', { text: what }],
    deploy: ['deploy', { to: what, version: '2.4.1' }],
    ask: ['askHuman', { question: 'Which colour should the front door be? The painter comes at noon.' }],
    mail: ['mail', { to: what }],
  }
  const call = calls[verb]
  return call === undefined
    ? { text: `Hello, ${prompt}`, ...priced }
    : { text: 'I look into it.', toolCalls: [{ name: call[0], arguments: call[1] }], ...priced }
})

const toHelper = () =>
  buildAgent(
    {
      name: 'helper',
      systemPrompt: 'Help.',
      model: 'test-model',
      allowedTools: ['deploy', 'search', 'mail', 'askHuman'],
    },
    { model, tools: [deploy, search, mail], askHuman: { answer } },
  )

const ignore = (): void => {}

export const openDashboardCrew = async (directory: string): Promise<Runtime> =>
  openRuntime({ directory, machines: [order], log: 'silent', durability: 'process' })

const untilPending = async (runtime: Runtime, count: number): Promise<void> => {
  for (;;) {
    let found = 0
    for await (const _ of runtime.pending()) found++
    if (found >= count) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The first life: leaves what waits, what is done, and what is in the middle. */
export async function beginLife(runtime: Runtime): Promise<void> {
  const start = async (id: string, events: readonly string[]) => {
    const run = await runtime.start(order, { id: `order/${id}`, input: { items: 2 } })
    for (const type of events) await run.send({ type } as { type: 'checkout' })
    return run
  }
  await start('4711', [])
  await start('4712', ['add', 'checkout', 'confirm'])
  await (await start('4713', ['checkout', 'help'])).cancel('Sold out.')
  await start('4714-doubt', ['checkout', 'confirm'])
  const helper = runtime.durable(toHelper())
  await helper.session('zoe').run('search tides')
  await helper.session('zoe').run('search moons')
  await helper.session('mallory').run('search terrible')
  const flow = runtime.flow('report', async (topic: string, { step }) => {
    const { output } = await helper.run(`search ${topic}`)
    return step('print', () => output.toUpperCase())
  })
  await flow.run('rain', { id: 'report/1' })
  const dump = runtime.flow('dump', async (_: undefined, { step }) =>
    step('read', () => `${terrible}${'x'.repeat(10 * 1024 ** 2)}`),
  )
  await dump.run(undefined, { id: 'dump/1' })
  for (const [name, prompt] of [
    ['ann', 'deploy production'],
    ['bob', 'ask'],
    ['cat', 'deploy staging'],
    ['dora', 'mail moon'],
    ['eve', 'tell whales'],
  ] as const)
    helper.session(name).run(prompt).catch(ignore)
  await untilPending(runtime, 3)
}

/** The second life: those that were cut off go on, but for `dora`, whose letter may have been sent. */
export async function goOn(runtime: Runtime): Promise<void> {
  const helper = runtime.durable(toHelper())
  for (const [name, prompt] of [
    ['ann', 'deploy production'],
    ['bob', 'ask'],
    ['cat', 'deploy staging'],
    ['eve', 'tell whales'],
  ] as const)
    helper.session(name).run(prompt).catch(ignore)
}
