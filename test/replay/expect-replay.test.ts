/** Exported runs as a test suite: exported where they happened, replayed elsewhere, without a model. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { openRuntime, type Runtime } from 'perdure'
import { connect } from 'perdure/client'
import { readExport } from 'perdure/replay'
import { expectReplay, scriptedModel } from 'perdure/testing'
import { setup } from 'xstate'
import { addTool, noModel } from '../support/recorded-run.ts'
import { lastPrompt, testAgent } from '../support/runtime-room.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const answering = () =>
  scriptedModel(({ messages }) => {
    const last = messages.at(-1)
    if (last?.role === 'tool') return `It is ${last.content}.`
    return lastPrompt({ messages }) === 'add' ? { toolCalls: [{ name: 'add', arguments: { a: 1, b: 2 } }] } : 'Fine.'
  })

const toAgent = (model = noModel().model, profile = {}) => testAgent(model, profile, [addTool().add])
const defineStory =
  (model = noModel().model, note = 'noted') =>
  (runtime: Runtime) => {
    const agent = runtime.durable(toAgent(model))
    return runtime.flow('story', async (topic: string, { step }) => {
      const text = await step('note', () => note)
      return `${(await agent.run('add')).output} ${topic}, ${text}`
    })
  }
const machine = setup({}).createMachine({ id: 'door', initial: 'open', states: { open: { on: { shut: 'closed' } }, closed: {} } })

const locked = setup({}).createMachine({ id: 'door', initial: 'open', states: { open: {}, closed: {} } })

describe('expectReplay', () => {
  let room: TempRoom
  const runs = (): string => join(room.root, 'runs')
  const fileOf = (run: string, folder = runs()): string => join(folder, `${run.replaceAll('/', '-')}.perdure`)
  before(async () => {
    room = await createTempRoom()
    const store = room.path()
    const runtime = await openRuntime({
      directory: store,
      machines: [machine],
      log: 'silent',
      encryption: { key: Buffer.alloc(32, 7) },
    })
    const session = runtime.durable(toAgent(answering())).session('main')
    await session.run('hello')
    await session.run('add')
    await (await session.fork({ at: { turn: 2 }, id: 'other', systemPrompt: 'Be long.' })).resume()
    await defineStory(answering())(runtime).run('today', { id: 'story-1' })
    await (await runtime.start(machine, { id: 'door-1' })).send({ type: 'shut' })
    await mkdir(runs())
    const connection = await connect(store) // while the runtime goes on
    for (const run of ['default/main', 'default/other', 'story-1', 'door-1']) {
      const chunks: Uint8Array[] = []
      for await (const chunk of connection.export(run)) chunks.push(chunk)
      await writeFile(fileOf(run), Buffer.concat(chunks))
    }
    await connection[Symbol.asyncDispose]()
    await runtime.close()
  })
  after(() => room.remove())

  test('replays every export of a folder, and a single one', async () => {
    const { model, calls } = noModel()
    const code = { agents: [toAgent(model)], flows: { story: defineStory(model) }, machines: [machine] }
    const replayed = await expectReplay(pathToFileURL(runs()), code)
    assert.deepEqual(
      replayed.map(({ file, id, identical, output }) => ({ file, id, identical, output })),
      [
        { file: fileOf('default/main'), id: 'default/main', identical: true, output: 'It is 3.' },
        { file: fileOf('default/other'), id: 'default/other', identical: true, output: 'It is 3.' },
        { file: fileOf('door-1'), id: 'door-1', identical: true, output: undefined },
        { file: fileOf('story-1'), id: 'story-1', identical: true, output: 'It is 3. today, noted' },
      ],
    )
    assert.equal((await expectReplay(fileOf('story-1'), code)).length, 1)
    assert.equal(calls(), 0)
  })

  test('says of each file where it differs, and in what', async () => {
    const agents = [toAgent(undefined, { systemPrompt: 'Be long.' })]
    const code = { agents, flows: { story: defineStory(noModel().model) }, machines: [locked] }
    await assert.rejects(expectReplay(runs(), code), (error: Error) => {
      assert.match(error.message, /^2 of 4 recorded runs differ from today's code:\n/)
      assert.ok(error.message.includes(fileOf('default/main')))
      assert.match(error.message, /request 1 of turn 1 of run `default\/main` is asked in another way \(system prompt\)/)
      assert.match(error.message, /event 1 of run `door-1` \(`shut`\) leads to the state `"open"` instead of `"closed"`/)
      return 'code' in error && error.code === 'REPLAY_DIVERGED'
    })
    const other = (runtime: Runtime) => {
      const agent = runtime.durable(toAgent())
      return runtime.flow('story', async (topic: string, { step }) => {
        await step('note', () => '')
        return `${(await agent.run('add')).output} Then ${topic}`
      })
    }
    await assert.rejects(expectReplay(fileOf('story-1'), { flows: { story: other } }), {
      code: 'REPLAY_DIVERGED',
      message: /comes to something else\n {4}recorded: .*It is 3\. today, noted.*\n {4}replayed: .*It is 3\. Then today/,
    })
  })

  test('that may ask live accepts other requests, and no other result', async () => {
    const options = { onMiss: 'live' } as const
    const agents = [toAgent(answering(), { systemPrompt: 'Be long.' })]
    const [replayed] = await expectReplay(fileOf('default/main'), { ...options, agents })
    assert.deepEqual([replayed?.identical, replayed?.output], [false, 'It is 3.'])
    const changed = [
      toAgent(
        scriptedModel(() => 'Else.'),
        { systemPrompt: 'Be long.' },
      ),
    ]
    await assert.rejects(expectReplay(fileOf('default/main'), { ...options, agents: changed }), { code: 'REPLAY_DIVERGED' })
  })

  test('refuses code that lacks the agent, or the machine, a folder without exports, and a damaged file', async () => {
    await assert.rejects(expectReplay(runs(), { agents: [] }), {
      name: 'TypeError',
      message: 'Expected `agents` to have the agent `default`, whose run `default/main` is, got none',
    })
    await assert.rejects(expectReplay(await mkdtemp(join(room.root, 'empty'))), { name: 'TypeError', message: /got none/ })
    await assert.rejects(expectReplay(fileOf('door-1')), {
      name: 'TypeError',
      message: /^Expected `machines` to have the machine `door`/,
    })
    const damaged = fileOf('damaged', room.root)
    await writeFile(damaged, (await readFile(fileOf('story-1'))).subarray(0, 400))
    await assert.rejects(expectReplay(damaged), { message: /damaged\.perdure\n.*it was cut off or changed/s })
  })

  test('an export is read as it was recorded', async () => {
    const { id, output, turns, within } = await readExport(
      (async function* () {
        yield await readFile(fileOf('story-1'))
      })(),
    )
    assert.deepEqual([id, output, turns.length], ['story-1', 'It is 3. today, noted', 0])
    assert.deepEqual(
      within.map((run) => [run.id, run.turns.map(({ prompt }) => prompt)]),
      [['story-1/default', ['add']]],
    )
  })
})
