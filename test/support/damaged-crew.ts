/** A store with something of everything in it, and what a process makes of it when one of its records is not what it was. */
import { fromStep, openMemoryStore, openRuntime, type Runtime, type Store } from 'perdure'
import { type AnyStateMachine, assign, sendTo, setup } from 'xstate'
import { verifyStore } from '../../src/management/verify.ts'
import { machines as doors, flows, runCrew, toHelper } from './managed-crew.ts'
import { toArray } from './managed-store.ts'

export type Entry = readonly [key: string, value: Uint8Array]

const reader = setup({ types: { context: {} as { heard: number } } }).createMachine({
  id: 'reader',
  context: { heard: 0 },
  on: { tick: { actions: assign({ heard: ({ context }) => context.heard + 1 }) } },
})
/** Its snapshots are a chain; it has a child, a delay that waits, and a step. */
const book = setup({
  types: {
    context: {} as { pages: readonly string[]; total: number },
    events: {} as { type: 'write'; text: string } | { type: 'end' },
    output: {} as number,
  },
  actors: { reader, count: fromStep(({ input }: { input: readonly string[] }) => input.length, { effect: false }) },
}).createMachine({
  id: 'book',
  context: { pages: [], total: 0 },
  initial: 'open',
  invoke: { src: 'reader', id: 'reader' },
  states: {
    open: {
      on: {
        write: {
          actions: [
            assign({ pages: ({ context, event }) => [...context.pages, event.text] }),
            sendTo('reader', { type: 'tick' }),
          ],
        },
        end: 'counting',
      },
      after: { 86400000: 'counting' },
    },
    counting: {
      invoke: {
        src: 'count',
        input: ({ context }) => context.pages,
        onDone: { target: 'shut', actions: assign({ total: ({ event }) => event.output }) },
      },
    },
    shut: { type: 'final' },
  },
  output: ({ context }) => context.total,
})
const machines: readonly AnyStateMachine[] = [...doors, book]
const PAGES = 24
/** Longer than anything takes that goes on. */
const WAIT_MS = 2_000

const open = (store: Store): Promise<Runtime> => openRuntime({ store, machines, log: 'silent', durability: 'process' })
/** A flow that waits for an event, and has slept before. */
const toMail = (runtime: Runtime) =>
  runtime.flow('mail', async (to: string, { step, waitFor, sleep }) => {
    await sleep(1)
    const letter = await step('write', () => `Dear ${to}`)
    const { stamp } = await waitFor('stamped')
    return `${letter} ${String(stamp)}`
  })

/** What all of them leave behind, and the question that the conversation waits for. */
export async function toEntries(): Promise<{ readonly entries: readonly Entry[]; readonly approval: string }> {
  const store = await openMemoryStore()
  const runtime = await open(store)
  const { waiting } = await runCrew(runtime)
  const run = await runtime.start(book, { id: 'book' })
  for (let page = 0; page < PAGES; page++) await run.send({ type: 'write', text: `${page} `.repeat(200) }, { id: `${page}` })
  const mail = toMail(runtime)
  const mailed = mail.run('Ann', { id: 'mail' }).catch(() => {})
  const isWaiting = async () => (await toArray(runtime.get('mail').steps()).catch(() => [])).length === 3
  while (!(await isWaiting())) await new Promise((resolve) => setImmediate(resolve))
  await runtime.get('mail').send({ type: 'parcel' }) // nobody waits for it: it stays in the inbox
  const bob = runtime.durable(toHelper()).session('bob')
  for (const prompt of ['note tea', `A long story: ${'la '.repeat(400)}`]) await bob.run(prompt)
  await bob.fork({ id: 'ben', at: { turn: 2 }, prompt: 'A short story' })
  const [question] = await toArray(runtime.pending())
  const entries = await toArray(store.entries({ gte: '', lt: '\u{10ffff}' }))
  await runtime.close()
  await Promise.all([waiting, mailed])
  return { entries, approval: question?.id ?? '' }
}

/** What came of each thing that was asked of a store, by its name. */
export type Outcomes = Readonly<Record<string, Outcome>>
export type Outcome = { readonly value: unknown } | { readonly error: unknown }

const RUNS = [
  'book',
  'door/ajar',
  'door/broken',
  'door/shut',
  'helper/ann',
  'helper/ben',
  'helper/bob',
  'mail',
  'report/1',
] as const

/** Opens a store that holds these records, reads all of it and lets all runs go on to their ends. Nothing waits for ever: what cannot end is closed. */
export async function live(entries: readonly Entry[], approval: string): Promise<Outcomes> {
  const store = await openMemoryStore()
  await store.write(entries.map(([key, value]) => ({ type: 'put', key, value })))
  const outcomes: Record<string, Outcome> = {}
  const ask: Ask = async (name, question) => {
    outcomes[name] = await question().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    )
  }
  await ask('verify', () => toArray(verifyStore(store)))
  let runtime: Runtime | undefined
  await ask('open', async () => {
    runtime = await open(store)
  })
  if (runtime !== undefined) await visit(runtime, approval, ask)
  await (runtime ?? store).close()
  return outcomes
}

type Ask = (name: string, question: () => Promise<unknown>) => Promise<void>

async function visit(runtime: Runtime, approval: string, ask: Ask): Promise<void> {
  await ask('runs', () => toArray(runtime.runs()))
  await ask('pending', () => toArray(runtime.pending()))
  for (const id of RUNS) {
    await ask(`${id}: steps`, () => toArray(runtime.get(id).steps()))
    await ask(`${id}: spend`, () => runtime.get(id).spend())
  }
  await ask('door/ajar', async () => {
    const run = runtime.get('door/ajar')
    await run.send({ type: 'close' })
    return run.done({ timeoutMs: WAIT_MS })
  })
  for (const id of ['door/broken', 'door/shut']) await ask(id, () => runtime.get(id).done({ timeoutMs: WAIT_MS }))
  await ask('book', async () => {
    const run = runtime.get('book')
    await run.send({ type: 'end' })
    return run.done({ timeoutMs: WAIT_MS })
  })
  await ask('report/1', () => flows.report(runtime).run('rain', { id: 'report/1' }))
  await ask('mail', () =>
    tryBoth(
      (signal) => toMail(runtime).run('Ann', { id: 'mail', signal }),
      () => runtime.get('mail').send({ type: 'stamped', stamp: 5 }),
    ),
  )
  const helper = runtime.durable(toHelper())
  await ask('helper/bob', async () => (await helper.session('bob').run('And then?')).output)
  await ask('helper/ben', async () => (await helper.session('ben').run('And then?')).output)
  await ask('helper/ann', () =>
    tryBoth(
      async (signal) => (await helper.session('ann').run('Thanks', { signal })).output,
      () => runtime.get('helper/ann').answer(approval, true),
    ),
  )
}

/** What waits for something, and that: without it nothing is waited for. */
async function tryBoth(wait: (signal: AbortSignal) => Promise<unknown>, give: () => Promise<void>): Promise<unknown> {
  const vain = new AbortController()
  const waited = wait(AbortSignal.any([vain.signal, AbortSignal.timeout(WAIT_MS)]))
  const given = give().catch((error: unknown) => {
    vain.abort(error)
    throw error
  })
  const [result, gave] = await Promise.allSettled([waited, given])
  if (result.status === 'rejected') throw result.reason
  if (gave.status === 'rejected') throw gave.reason
  return result.value
}
