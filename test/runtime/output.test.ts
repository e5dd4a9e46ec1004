/** Structured output: an answer of a form is parsed and typed, sent back when it does not fit, and kept as the text that the model wrote. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  type Agent,
  buildAgent,
  type DurableAgent,
  type Model,
  openMemoryStore,
  openRuntime,
  type Profile,
  type Runtime,
  type Session,
  type TurnResult,
  tool,
} from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { createActor } from 'xstate'
import { z } from 'zod'
import { createMachineRoom, type MachineRoom } from '../support/machine-room.ts'

const City = z.object({ city: z.string(), people: z.int().min(0) })
const paris = { city: 'Paris', people: 2_100_000 }
const json = JSON.stringify(paris)
const profile: Profile = { name: 'default', systemPrompt: 'Be brief.', model: 'test-model' }

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only when `Expected` is exactly the type of the value. */
function exactly<Expected>() {
  return <Actual>(_value: Actual, _same: Equal<Actual, Expected>): void => {}
}

const cityAgent = (model: Model) => buildAgent({ ...profile, output: City }, { model })
const textAgent = (model: Model, given: Partial<Profile> = {}) => buildAgent({ ...profile, ...given }, { model })

/** What the model was told last. */
const lastTold = (model: { readonly requests: readonly { readonly messages: readonly { readonly content: string }[] }[] }) =>
  model.requests.at(-1)?.messages.at(-1)?.content ?? ''

test('the answer of an agent with an output schema is parsed, and the model is told the form', async () => {
  const model = scriptedModel([json])
  const { output } = await cityAgent(model).run('Which city?')
  assert.deepEqual(output, paris)
  const format = model.requests[0]?.output
  assert.equal(format?.name, 'answer')
  assert.deepEqual(format?.schema.required, ['city', 'people'])
  assert.equal(format?.schema.$schema, undefined)
})

test('the schema of a turn wins over that of the profile, for this turn only', async () => {
  const model = scriptedModel(['{"ok":true}', json])
  const agent = cityAgent(model)
  assert.deepEqual((await agent.run('Is it?', { output: z.object({ ok: z.boolean() }) })).output, { ok: true })
  assert.deepEqual((await agent.run('Which city?')).output, paris)
  assert.deepEqual(model.requests[0]?.output?.schema.required, ['ok'])
  assert.deepEqual(model.requests[1]?.output?.schema.required, ['city', 'people'])
})

test('an agent without a schema says nothing of a form, also after a turn that had one', async () => {
  const model = scriptedModel([json, 'Paris.'])
  const agent = textAgent(model)
  assert.deepEqual((await agent.run('Which city?', { output: City })).output, paris)
  assert.equal((await agent.run('Which city?')).output, 'Paris.')
  assert.equal(model.requests[1]?.output, undefined)
})

for (const [form, text] of [
  ['plain', json],
  ['in a fence', `\`\`\`json\n${json}\n\`\`\``],
  ['in a fence without a language', `\n\`\`\`\n${json}\`\`\`\n`],
  ['in a fence with words around it', `Here it is:\n\n\`\`\`json\n${json}\n\`\`\`\nAnything else?`],
] as const)
  test(`JSON ${form} is understood`, async () => {
    assert.deepEqual((await cityAgent(scriptedModel([text])).run('Which city?')).output, paris)
  })

test('a fence inside of a value is a part of it', async () => {
  const Code = z.object({ code: z.string() })
  const value = { code: 'Use\n```ts\nrun()\n```\n' }
  const text = JSON.stringify(value)
  for (const answer of [text, `\`\`\`json\n${text}\n\`\`\``])
    assert.deepEqual((await textAgent(scriptedModel([answer])).run('Code?', { output: Code })).output, value)
})

test('an answer that does not fit is sent back with what is wrong, and the next one is taken', async () => {
  const model = scriptedModel(['{"city":"Paris","people":"many"}', 'Sorry: two million', json])
  const { output, spend } = await cityAgent(model).run('Which city?')
  assert.deepEqual(output, paris)
  assert.equal(spend.modelCalls, 3)
  assert.match(model.requests[1]?.messages.at(-1)?.content ?? '', /`people`: .*number.*got `many` \(string\)/)
  assert.match(lastTold(model), /not usable JSON/)
})

for (const [what, answer] of [
  ['is empty JSON', 'null'],
  ['has a key `__proto__`', '{"__proto__":{"city":"x"},"city":"Paris","people":1}'],
  ['has two fences', `\`\`\`json\n${json}\n\`\`\`\nor\n\`\`\`json\n${json}\n\`\`\``],
] as const)
  test(`an answer that ${what} is sent back`, async () => {
    const model = scriptedModel([answer, json])
    assert.deepEqual((await cityAgent(model).run('Which city?')).output, paris)
    assert.equal(model.calls, 2)
  })

test('the turn fails when the last repair does not fit either, and says what is wrong', async () => {
  const model = scriptedModel(['a', 'b', '{"city":"Paris"}'])
  await assert.rejects(cityAgent(model).run('Which city?'), { code: 'OUTPUT_INVALID', message: /2 repairs.*\n- `people`/ })
  model.done()
  const strict = scriptedModel(['a'])
  await assert.rejects(textAgent(strict, { maxRepairs: 0 }).run('Which city?', { output: City }), { code: 'OUTPUT_INVALID' })
  const patient = scriptedModel(['a', 'b', 'c', 'd', json])
  assert.deepEqual((await textAgent(patient, { maxRepairs: 4 }).run('Which city?', { output: City })).output, paris)
})

test('a repair is a model request: it counts against `maxSteps` and limits', async () => {
  const steps = textAgent(scriptedModel(['a', json]), { maxSteps: 1 })
  await assert.rejects(steps.run('Which city?', { output: City }), { code: 'MAX_STEPS' })
  const limit = textAgent(scriptedModel(['a', json]), { limits: { steps: 1 } })
  await assert.rejects(limit.run('Which city?', { output: City }), { code: 'LIMIT_REACHED' })
})

test('refinements are checked, also those that wait, and transforms make what is returned', async () => {
  const seen: string[] = []
  const Known = z
    .object({ city: z.string() })
    .refine(
      async ({ city }) => {
        await Promise.resolve()
        seen.push(city)
        return city !== 'Atlantis'
      },
      { error: 'There is no such city', path: ['city'] },
    )
    .transform(({ city }) => new URL(`https://example.org/${city}`))
  const model = scriptedModel(['{"city":"Atlantis"}', '{"city":"Paris"}'])
  const { output } = await textAgent(model).run('Which city?', { output: Known })
  exactly<URL>()(output, true)
  assert.equal(output.pathname, '/Paris')
  assert.match(lastTold(model), /`city`: There is no such city/)
  assert.deepEqual(seen.slice(0, 2), ['Atlantis', 'Paris'])
})

test('a schema that throws fails the turn, and the model is not asked to mend it', async () => {
  const Broken = z.object({ city: z.string() }).refine(() => {
    throw new Error('the table is gone')
  })
  const model = scriptedModel([json, json])
  await assert.rejects(textAgent(model).run('Which city?', { output: Broken }), {
    code: 'OUTPUT_INVALID',
    message: /the table is gone/,
  })
  assert.equal(model.calls, 1)
})

test('what is no schema, or one that JSON cannot express, is refused before the model is asked', async () => {
  const model = scriptedModel([])
  // @ts-expect-error JSON Schema is no zod schema
  await assert.rejects(textAgent(model).run('Which city?', { output: { type: 'object' } }), TypeError)
  await assert.rejects(textAgent(model).run('When?', { output: z.object({ at: z.date() }) }), {
    name: 'TypeError',
    message: /^Expected `output` to be a zod schema that JSON Schema can express: /,
  })
  assert.throws(() => buildAgent({ ...profile, output: z.date() }, { model }), TypeError)
  // @ts-expect-error a text is no schema
  assert.throws(() => buildAgent({ ...profile, output: 'json' }, { model }), { code: 'PROFILE_INVALID' })
})

test('tools are used before the answer takes its form', async () => {
  const look = tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => 'Paris' })
  const model = scriptedModel([{ text: 'I look.', toolCalls: [{ name: 'look' }] }, json])
  const agent = buildAgent({ ...profile, allowedTools: ['look'], output: City }, { model, tools: [look] })
  assert.deepEqual((await agent.run('Which city?')).output, paris)
})

test('the result has the type of the schema', () => {
  const compiled = (_code: (...given: never[]) => unknown): void => {}
  compiled(async (runtime: Runtime, model: Model, text: Agent, durable: DurableAgent, session: Session) => {
    const agent = buildAgent({ ...profile, output: City }, { model })
    exactly<Agent<{ city: string; people: number }>>()(agent, true)
    exactly<Agent>()(buildAgent(profile), true)
    exactly<Agent<unknown>>()(buildAgent(profile as Profile<z.ZodType | undefined>), true)
    exactly<TurnResult<{ city: string; people: number }>>()(await agent.run('a'), true)
    exactly<TurnResult<boolean>>()(await agent.run('a', { output: z.boolean() }), true)
    exactly<TurnResult>()(await text.run('a', { onText: () => {} }), true)
    exactly<TurnResult<string[]>>()(await text.run('a', { output: z.array(z.string()), onText: () => {} }), true)
    exactly<TurnResult>()(await durable.run('a'), true)
    exactly<TurnResult<number>>()(await durable.run('a', { output: z.number() }), true)
    exactly<TurnResult>()(await session.run('a', { id: '1' }), true)
    exactly<TurnResult<number>>()(await session.run('a', { id: '1', output: z.number() }), true)
    const made = runtime.durable(agent)
    exactly<DurableAgent<{ city: string; people: number }>>()(made, true)
    exactly<number>()((await made.session('s').run('a')).output.people, true)
    // @ts-expect-error not in the schema
    ;(await made.run('a')).output.country
    // @ts-expect-error its answers are no texts
    const asText: Agent = agent
    // @ts-expect-error an unknown option
    text.run('a', { output: City, format: 'json' })
    // @ts-expect-error an id is for sessions
    durable.run('a', { id: '1' })
    return asText
  })
})

describe('the machine of an agent with an output schema', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  test('is a run of one prompt whose answer has the form', async () => {
    const model = scriptedModel(['Paris', json])
    const { machine } = cityAgent(model)
    const runtime = await room.open(room.directory(), [machine])
    const run = await runtime.start(machine, { id: 'one', input: { prompt: 'Which city?' } })
    const { output, spent } = await run.done()
    assert.deepEqual(JSON.parse(output), paris)
    assert.equal(spent.steps, 2)
    assert.equal(model.requests[0]?.output?.name, 'answer')
    await runtime.close()
  })

  test('fails as a run of one prompt when no answer has the form', async () => {
    const { machine } = cityAgent(scriptedModel(['a', 'b', 'c']))
    const runtime = await room.open(room.directory(), [machine])
    const run = await runtime.start(machine, { id: 'one', input: { prompt: 'Which city?' } })
    await assert.rejects(run.done())
    await runtime.close()
  })

  test('takes the form of a prompt as JSON Schema, over restarts', async () => {
    const directory = room.directory()
    const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] }
    const asked = Promise.withResolvers<void>()
    const hanging = scriptedModel(({ messages }) => {
      if (messages.length === 1) return 'yes'
      asked.resolve()
      return { fault: 'hang' }
    })
    const first = await room.open(directory, [textAgent(hanging).machine])
    const run = await first.start<Agent['machine']>('default', { id: 'chat' })
    await run.send({ type: 'prompt', text: 'Is it?', output: { name: 'verdict', schema, maxRepairs: 3 } })
    await asked.promise
    await first.close()
    const model = scriptedModel(['{"ok":"yes"}', '{"ok":true}'])
    const second = await room.open(directory, [textAgent(model).machine])
    const { context } = await second.get<Agent['machine']>('chat').waitFor('settled')
    assert.equal(context.messages.at(-1)?.content, '{"ok":true}')
    assert.deepEqual(model.requests[0]?.output, { name: 'verdict', schema })
    await second.close()
  })
})

describe('an answer that is there and paid', () => {
  test('is not asked for again after its check failed', async () => {
    let isBroken = true
    const output = z.object({ a: z.number() }).refine(() => {
      if (isBroken) throw new Error('the database is away')
      return true
    })
    const model = scriptedModel(() => '{"a":1}')
    const agent = buildAgent({ name: 'default', systemPrompt: '', model: 'test-model', output }, { model })
    await using runtime = await openRuntime({ store: await openMemoryStore(), log: 'silent' })
    const session = runtime.durable(agent).session('s')
    await assert.rejects(session.run('go'), /the database is away/)
    isBroken = false
    assert.deepEqual((await session.run('go')).output, { a: 1 })
    assert.equal(model.calls, 1)
  })

  test('is not asked for again when the turn was aborted while it was checked', async () => {
    const held = Promise.withResolvers<boolean>()
    let checks = 0
    const output = z.object({ a: z.number() }).refine(() => (++checks === 1 ? held.promise : true))
    const model = scriptedModel(() => '{"a":1}')
    const agent = buildAgent({ name: 'default', systemPrompt: '', model: 'test-model', output }, { model })
    const actor = createActor(agent.machine).start()
    actor.send({ type: 'prompt', text: 'go' })
    while (checks === 0) await new Promise(setImmediate)
    actor.send({ type: 'abort' })
    actor.send({ type: 'retry' })
    held.resolve(true)
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
    assert.equal(actor.getSnapshot().value, 'ready')
    assert.equal(model.calls, 1)
  })
})
