/** `redact`: what it takes out is nowhere on the disk and in no log; the run that is in memory has it, and what is read again does not. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import {
  buildAgent,
  fromStep,
  openMemoryStore,
  openRuntime,
  PerdureError,
  type Redact,
  type Runtime,
  type RuntimeOptions,
  type Store,
  sendToRun,
  type TextPlace,
  tool,
} from 'perdure'
import { connect } from 'perdure/client'
import { scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { verifyStore } from '../../src/management/verify.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { machines as crew, runCrew, toHelper } from '../support/managed-crew.ts'
import { toArray } from '../support/managed-store.ts'
import { createTempRoom } from '../support/temp-room.ts'

const SECRET = '4111-1111-1111-1111'
const redact: Redact = (text) => text.replaceAll(SECRET, '[card]')
const room = await createTempRoom()
after(() => room.remove())

const readAll = async (store: Store): Promise<string> => {
  const entries = await toArray(store.entries({ gte: '', lt: '\u{10ffff}' }))
  return Buffer.concat(entries.flatMap(([key, value]) => [Buffer.from(key), value])).toString('latin1')
}
async function* filesIn(directory: string): AsyncGenerator<string> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const found = await stat(path)
    if (found.isDirectory()) yield* filesIn(path)
    else if (found.isFile()) yield path
  }
}

const wallet = setup({
  types: {
    context: {} as { cards: string[] },
    input: {} as string,
    events: {} as { type: 'add' | 'share' | 'break'; card: string },
  },
  actors: { check: fromStep(({ input }: { input: string }) => Promise.reject(new Error(`Refused ${input}`))) },
}).createMachine({
  id: 'wallet',
  context: ({ input }) => ({ cards: [input] }),
  invoke: {
    src: 'check',
    input: ({ context }) => context.cards[0] ?? '',
    onError: { actions: assign({ cards: ({ context, event }) => [...context.cards, String(event.error)] }) },
  },
  on: {
    add: { actions: assign({ cards: ({ context, event }) => [...context.cards, event.card] }) },
    share: { actions: sendToRun('wallet/b', ({ event }) => ({ type: 'add', card: event.card })) },
    break: {
      actions: ({ event }) => {
        throw new Error(`Torn by ${event.card}`)
      },
    },
  },
})

/** All that a runtime can be told, with the secret in it. */
async function tellAll(runtime: Runtime, seen: unknown[]): Promise<void> {
  const charge = tool({
    name: 'charge',
    description: `Charges ${SECRET}`,
    effect: 'external',
    input: z.object({ card: z.string() }),
    async run({ card }, { progress }) {
      seen.push(card)
      progress(`charging ${card}`)
      if (seen.length > 1) throw new Error(`No money on ${card}`)
      return `charged ${card}`
    },
  })
  const model = scriptedModel(({ messages }) => {
    const last = messages.at(-1)
    seen.push(last?.content)
    if (last?.role === 'tool') return `Done with ${SECRET}: ${last.content}`
    if (last?.content.includes('command'))
      return { toolCalls: [{ name: 'exec', arguments: { command: `echo ${SECRET}; echo ${SECRET} >&2` } }] }
    return { text: `Charging ${SECRET}`, toolCalls: [{ name: 'charge', arguments: { card: SECRET } }] }
  })
  const agent = buildAgent(
    { name: 'clerk', systemPrompt: `You know ${SECRET}.`, model: 'test-model', allowedTools: ['charge', 'exec'] },
    { model, tools: [charge] },
  )
  const session = runtime.durable(agent).session('one')
  for (const prompt of [`Take ${SECRET}`, `Again ${SECRET}`, 'Run the command']) await session.run(prompt)
  const fork = await session.fork({ id: 'two', at: { turn: 2 }, prompt: `Else ${SECRET}`, systemPrompt: `Not ${SECRET}` })
  await fork.run(`And ${SECRET}`)

  const flow = runtime.flow('pay', async (input: { card: string }, { step, ask, waitFor }) => {
    await step('fail', () => Promise.reject(new TypeError(`Bad card ${input.card}`))).catch(() => {})
    await step('keep', () => new Map([['card', [input.card]]]))
    const { by } = await waitFor('paid')
    const answer = await ask(`Is ${input.card} right?`, z.string())
    return [by, answer]
  })
  const paid = flow.run({ card: SECRET }, { id: 'pay/1' })
  while ((await toArray(runtime.get('pay/1').steps()).catch(() => [])).length < 3)
    await new Promise((resolve) => setImmediate(resolve))
  await runtime.get('pay/1').send({ type: 'paid', by: SECRET }, { id: 'one' })
  for (let asked = false; !asked; await new Promise((resolve) => setImmediate(resolve)))
    for await (const { runId, id } of runtime.pending()) {
      await runtime.get(runId).answer(id, `Yes, ${SECRET}`)
      asked = true
    }
  await paid

  for (const id of ['wallet/b', 'wallet/a']) await runtime.start(wallet, { id, input: `first ${SECRET}` })
  await runtime.get('wallet/a').send({ type: 'add', card: SECRET })
  await runtime.get('wallet/a').send({ type: 'share', card: SECRET })
  await runtime.get('wallet/b').waitFor(({ context }) => (context as { cards: string[] }).cards.includes('[card]')) // through the disk
  const { cards } = (await runtime.get('wallet/a').snapshot()).context as { cards: string[] }
  assert.ok(cards.includes(SECRET), 'who is in memory has it')
  await runtime.get('wallet/a').cancel(`No ${SECRET}`)
  await runtime
    .get('wallet/b')
    .send({ type: 'break', card: SECRET })
    .catch(() => {})
}

/** What `task` has the runtime write to the standard error. */
async function listen(task: () => Promise<void>): Promise<string> {
  const { write } = process.stderr
  let heard = ''
  process.stderr.write = (chunk: string | Uint8Array) => {
    heard += Buffer.from(chunk as string).toString('latin1') // or bytes
    return true
  }
  try {
    await task()
  } finally {
    process.stderr.write = write
  }
  return heard
}

describe('redact', () => {
  test('keeps what it takes out from the disk, the log, the socket and exports; the runs in memory have it', async () => {
    const directory = room.path('store')
    const seen: unknown[] = []
    const none = (bytes: Uint8Array | string, where: string): void =>
      assert.ok(
        !Buffer.from(bytes as string).includes(SECRET),
        `it is in ${where}: ${excerpt(Buffer.from(bytes as string).toString('latin1'))}`,
      )
    for (const log of ['json', 'pretty'] as const) {
      const at = `${directory}-${log}`
      const logged = await listen(async () => {
        const runtime = await openRuntime({ directory: at, machines: [wallet], redact, log })
        await tellAll(runtime, seen)
        const client = await connect(at)
        for await (const { id } of client.runs()) {
          const told = [await client.run(id), await toArray(client.steps(id)), await toArray(client.transcript(id))]
          none(JSON.stringify(told), `what is told of ${id}`)
          const file = Buffer.concat(await toArray(client.export(id)))
          none(gunzipSync(file.subarray(file.indexOf('\n') + 1, -32)), `the export of ${id}`)
        }
        await client[Symbol.asyncDispose]()
        await runtime.close()
      })
      assert.notEqual(logged, '')
      assert.ok(!existsSync(join(at, 'files')), 'what commands write goes through nobody’s hands')
      none(logged, `the ${log} log`)
      for await (const file of filesIn(at)) none(await readFile(file), file)
      const store = await openLevelStore(at)
      none(await readAll(store), 'the store')
      assert.deepEqual(await toArray(verifyStore(store)), [])
      await store.close()
    }
    assert.ok(seen.some((each) => String(each).includes(SECRET)))
  })

  const open = (store: Store, more: Partial<RuntimeOptions> = {}): Promise<Runtime> =>
    openRuntime({ log: 'silent', machines: [wallet, ...crew], ...more, store, directory: undefined })
  /** What outlives the process. */
  const restart = async (store: Store): Promise<Store> => {
    const next = await openMemoryStore()
    const entries = await toArray(store.entries({ gte: '', lt: '\u{10ffff}' }))
    await next.write(entries.map(([key, value]) => ({ type: 'put', key, value })))
    return next
  }

  test('a turn that was asked for with it is not asked for again; what goes on from the disk has what was written', async () => {
    const prompts: string[] = []
    const model = scriptedModel(({ messages }) => {
      prompts.push(messages.map(({ content }) => content).join(' | '))
      return 'ok'
    })
    const agent = buildAgent({ name: 'clerk', systemPrompt: 'Be brief.', model: 'test-model' }, { model })
    const ask = (runtime: Runtime, id: string, card: string) =>
      runtime.flow('pay', async (input: string) => (await runtime.durable(agent).run(`Take ${input}`)).output).run(card, { id })
    const first = await openMemoryStore()
    const runtime = await open(first, { redact })
    await ask(runtime, 'pay/1', SECRET)
    const session = runtime.durable(agent).session('s')
    await session.run(`Take ${SECRET}`)
    await session.run('Again')
    assert.equal(prompts.at(-1), `Take ${SECRET} | ok | Again`)
    const second = await restart(first)
    await runtime.close()
    const again = await open(second, { redact })
    await ask(again, 'pay/1', SECRET)
    assert.equal(prompts.length, 3)
    await again.durable(agent).session('s').run('Last')
    assert.equal(prompts.at(-1), 'Take [card] | ok | Again | ok | Last')
    await again.close()
  })

  test('names, ids and states are not its business: runs go on where every text was blanked', async () => {
    const first = await openMemoryStore()
    const places: TextPlace[] = []
    const blank: Redact = (text, place) => {
      places.push(place)
      return text === '' ? '' : '#'
    }
    const runtime = await open(first, { redact: blank })
    const { waiting } = await runCrew(runtime)
    const [question] = await toArray(runtime.pending())
    const second = await restart(first)
    await runtime.close()
    await waiting
    const again = await open(second, { redact: blank })
    await again.get('door/ajar').send({ type: 'close' })
    assert.deepEqual(await again.get('door/ajar').done(), { opened: 1 })
    const session = again.durable(toHelper()).session('ann')
    await again.get('helper/ann').answer(question?.id ?? '', false)
    await session.run('Thanks')
    for await (const { key } of again.get('helper/ann').steps())
      assert.match(key, /^(turn\/\d{6}|call\/\d{6}\.\d+\/m\d{3}(\/.+)?)$/)
    assert.deepEqual(await toArray(verifyStore(second)), [])
    await again.close()
    assert.ok(places.some(({ runId, path }) => runId === 'door/ajar' && path.join('.') === 'actor.context.note'))
    assert.ok(places.every(({ path }) => !path.includes('role') && !path.includes('callId') && !path.includes('stepKey')))
  })

  test('one that fails writes nothing, and the run goes on with what it does not fail for', async () => {
    const refusing: readonly (readonly [words: RegExp, redact: Redact])[] = [
      [
        /It threw/,
        (text) => {
          if (text.includes(SECRET)) throw new Error(`Cannot redact ${text}`)
          return text
        },
      ],
      [/to return a string, got undefined/, (text) => (text.includes(SECRET) ? (undefined as unknown as string) : text)],
      [/to leave alone what it returned/, (text) => (text.includes('4111') ? `${text}!` : text)],
    ]
    for (const [words, redact] of refusing) {
      const store = await openMemoryStore()
      const runtime = await open(store, { redact })
      const other = await runtime.start(wallet, { id: 'wallet/a', input: 'none' })
      await assert.rejects(other.send({ type: 'add', card: SECRET }), (error) => {
        assert.ok(error instanceof PerdureError && error.code === 'REDACTION_FAILED', String(error))
        assert.match(error.message, words)
        assert.ok(!error.message.includes(SECRET))
        return true
      })
      await other.send({ type: 'add', card: 'another' })
      assert.ok(((await other.snapshot()).context as { cards: string[] }).cards.includes('another'))
      assert.ok(!(await readAll(store)).includes(SECRET))
      await assert.rejects(
        runtime.flow('f', async (card: string) => card).run(SECRET, { id: 'f' }),
        (error) => error instanceof PerdureError && error.code === 'REDACTION_FAILED',
      )
      assert.ok(!(await readAll(store)).includes(SECRET))
      await runtime.close()
    }
  })

  test('is a function', async () => {
    const store = await openMemoryStore()
    await assert.rejects(open(store, { redact: 'secrets' as never }), /Expected `redact` to be a function, got string/)
    await store.close()
  })
})

const excerpt = (text: string): string => text.slice(Math.max(0, text.indexOf(SECRET) - 200), text.indexOf(SECRET) + 60)
