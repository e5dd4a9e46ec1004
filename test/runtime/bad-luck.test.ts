/** Bad input and bad luck: a clear named error, and nothing lost. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { buildAgent, isPerdureError, type Model, type ModelAnswer, type Runtime } from 'perdure'
import { type Fault, openaiServer, scriptedModel } from 'perdure/testing'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import {
  callNote,
  createRuntimeRoom,
  echo,
  lastPrompt,
  noteRounds,
  noteTool,
  type RuntimeRoom,
  testAgent,
  toOutline,
} from '../support/runtime-room.ts'
import { mountSmallDisk, noSmallDisk } from '../support/small-disk.ts'

let room: RuntimeRoom
before(async () => {
  room = await createRuntimeRoom()
})
after(() => room.remove())

const profile = { name: 'default', systemPrompt: 'Be brief.', model: 'gpt-5-mini' }

describe('a model that misbehaves', () => {
  for (const [fault, code] of [
    ['empty', 'MODEL_BAD_ANSWER'],
    ['length', 'MODEL_CUT_OFF'],
    ['refusal', 'MODEL_REFUSED'],
    [{ status: 401 }, 'MODEL_UNAUTHORIZED'],
    [{ status: 404 }, 'MODEL_NOT_FOUND'],
  ] as const satisfies readonly (readonly [Fault, string])[])
    test(`is told by ${code}, and what came before is kept (${JSON.stringify(fault)}, over HTTP)`, async () => {
      const directory = room.room.path()
      const { note, notes } = noteTool()
      let healed = false
      await using server = await openaiServer({
        script: (request) => (request.messages.length > 1 && !healed ? { text: 'half of it', fault } : noteRounds(1)(request)),
      })
      const run = async () => {
        const runtime = await room.open(directory)
        const agent = buildAgent(
          { ...profile, allowedTools: ['note'] },
          { apiKey: 'sk-test', baseUrl: server.url, tools: [note], maxRetries: 0 },
        )
        const flow = runtime.flow('flow', async () => (await runtime.durable(agent).run('go')).output)
        const result = await flow.run(undefined).catch((error: unknown) => (isPerdureError(error) ? error.code : error))
        await runtime.close()
        return result
      }
      assert.equal(await run(), code)
      const asked = server.requests.length
      healed = true
      assert.equal(await run(), 'noted go 1')
      assert.equal(server.requests.length, asked + 1, 'the settled request is not made again')
      assert.deepEqual(notes, ['go 1'])
    })

  test('breaks its stream in the middle: nothing of it counts, and the turn goes on when it is run again', async () => {
    const directory = room.room.path()
    let broken = true
    await using server = await openaiServer({
      script: (request) => ({ text: `one two three ${request.messages.length}`, ...(broken ? { fault: 'cut' as const } : {}) }),
    })
    const run = async () => {
      const runtime = await room.open(directory)
      const agent = buildAgent(profile, { apiKey: 'sk-test', baseUrl: server.url, maxRetries: 0 })
      const session = runtime.durable(agent).session('x')
      const result = await session.run('go').then(
        ({ output }) => output,
        (error: unknown) => (isPerdureError(error) ? error.code : error),
      )
      await runtime.close()
      return result
    }
    assert.equal(await run(), 'MODEL_UNAVAILABLE')
    broken = false
    assert.equal(await run(), 'one two three 1')
  })

  test('asks for tools that do not exist and with arguments that do not fit: it is told', async () => {
    const { note, notes } = noteTool()
    const model = scriptedModel([
      {
        toolCalls: [
          { name: 'missing' },
          { name: 'note', arguments: '{"text":' },
          { name: 'note', arguments: { text: 1 } },
          callNote('right'),
        ],
      },
      'I see.',
    ])
    const runtime = await room.open()
    assert.equal((await runtime.durable(testAgent(model, {}, [note])).run('go')).output, 'I see.')
    const told = model.requests[1]?.messages.flatMap((message) => (message.role === 'tool' ? [message] : [])) ?? []
    assert.deepEqual(
      told.map(({ isError }) => isError),
      [true, true, true, false],
    )
    for (const [index, words] of [/no tool `missing`.*note/, /JSON/, /text/, /noted right/].entries())
      assert.match(told[index]?.content ?? '', words)
    assert.deepEqual(notes, ['right'])
    await runtime.close()
  })

  test('gives an answer that cannot be stored: the turn says so, the bill is kept, and the flow goes on', async () => {
    const runtime = await room.open()
    const answer: ModelAnswer = {
      message: { role: 'assistant', content: 'fine', toolCalls: [], items: [{ socket: () => {} }] },
      usage: undefined,
      costUsd: 1,
      model: 'm',
      responseId: undefined,
    }
    const model: Model = async ({ messages }) =>
      lastPrompt({ messages }) === 'bad' ? answer : { ...answer, message: { role: 'assistant', content: 'fine', toolCalls: [] } }
    const agent = runtime.durable(testAgent(model))
    const flow = runtime.flow('flow', async () => {
      const error = await agent.run('bad').catch((error: unknown) => error)
      assert.ok(isPerdureError(error, 'VALUE_NOT_STORABLE'))
      assert.match(error.message, /items\[0\]\.socket/)
      return (await agent.run('good')).output
    })
    assert.equal(await flow.run(undefined), 'fine')
    const end = runtime.events.find((event) => event.type === 'run.completed')
    assert.equal(end?.receipt.spent.costUsd, 2)
    await runtime.close()
  })

  test('throws what cannot be stored, or at once: it is an error of the turn', async () => {
    const thrown = [
      () => Promise.reject(Object.assign(new Error('held'), { code: 'MODEL_UNAVAILABLE', details: { socket: () => {} } })),
      () => {
        throw new Error('at once')
      },
    ]
    for (const model of thrown) {
      const runtime = await room.open()
      const session = runtime.durable(testAgent(model)).session('x')
      await assert.rejects(session.run('go'), /held|at once/)
      await assert.rejects(session.run('go'), /held|at once/)
      assert.deepEqual(toOutline(runtime.events), ['default new', 'default retried'])
      await runtime.close()
    }
  })
})

describe('a disk that is full in the middle of a commit', { skip: noSmallDisk }, () => {
  test('stops the run by name, and with space it goes on without asking for anything again', async () => {
    await using disk = await mountSmallDisk(room.room.path('disk'), '4m')
    const directory = join(disk.path, 'store')
    const { note, notes } = noteTool()
    // What the model answered and the store took; the answer that could not be stored is asked for again.
    const settled = new Set<string>()
    const run = async (rounds: number) => {
      const runtime = await room.open(directory)
      const asked: string[] = []
      const model = scriptedModel((request) => {
        asked.push(String(request.messages.length))
        const { toolCalls = [] } = noteRounds(rounds)(request)
        return toolCalls.length > 0 ? { toolCalls } : 'done'
      })
      const talkative = {
        ...note,
        execute: async (...args: Parameters<typeof note.execute>) => ({
          ...(await note.execute(...args)),
          content: `${args[0]}${'x'.repeat(20_000)}`,
        }),
      }
      const agent = runtime.durable(testAgent(model, { maxSteps: 1000 }, [talkative]))
      const flow = runtime.flow('flow', async () => (await agent.run('go')).output)
      const result = await flow.run(undefined).catch((error: unknown) => error)
      await runtime.close()
      return { result, asked, runtime }
    }
    await disk.addBallast(2_000_000)
    const first = await run(400)
    assert.ok(isPerdureError(first.result), String(first.result).slice(0, 200))
    assert.match(first.result.code, /^STORE_(FULL|WRITE_FAILED)$/)
    assert.ok(first.asked.length > 10)
    for (const key of first.asked.slice(0, -2)) settled.add(key)

    disk.grow('64m')
    await disk.removeBallast()
    const ran = notes.length
    const second = await run(first.asked.length + 5)
    assert.equal(String(second.result).slice(0, 200), 'done')
    assert.deepEqual(
      second.asked.filter((key) => settled.has(key)),
      [],
    )
    assert.ok(notes.length - ran <= 7, `${notes.length - ran} notes were made again`)
  })
})

describe('a record that is not what it was', () => {
  /** Changes the records of a closed store that match. */
  const damage = async (directory: string, pattern: RegExp, change: (bytes: Uint8Array) => Uint8Array | undefined) => {
    await using store = await openLevelStore(directory)
    let count = 0
    for await (const [key, bytes] of store.entries({ gte: 'h', lt: 's' })) {
      if (!pattern.test(key)) continue
      const value = change(new Uint8Array(bytes))
      await store.write([value === undefined ? { type: 'del', key } : { type: 'put', key, value }])
      count++
    }
    assert.ok(count > 0, `no key matches ${pattern}`)
  }
  const flip = (bytes: Uint8Array): Uint8Array => bytes.with(bytes.length - 2, (bytes.at(-2) ?? 0) ^ 0x40)

  const attempt = async (directory: string, runs: readonly string[], fails = false) => {
    const runtime = await room.open(directory)
    const model = scriptedModel(echo)
    const agent = runtime.durable(testAgent(model))
    const flow = runtime.flow('flow', async (input: string, { step }) => {
      const { output } = await agent.run(input)
      await step('step', () => 1)
      if (fails) throw new Error('on purpose')
      return output
    })
    const results: unknown[] = []
    for (const id of runs) results.push(await flow.run(id, { id }).catch((error: unknown) => error))
    await runtime.close()
    return { results, calls: model.calls }
  }

  for (const [what, pattern] of [
    ['the head of the flow', /^h\/a$/],
    ['a step', /^r\/a\/s\/step/],
    ['the head of the conversation', /^h\/a%2Fdefault$/],
    ['a turn', /^r\/a%2Fdefault\/s\/turn/],
  ] as const)
    for (const [how, change] of [
      ['flipped', flip],
      ['cut', (bytes: Uint8Array) => bytes.subarray(0, 9)],
    ] as const)
      test(`is named with its run when ${what} is ${how}; other runs go on`, async () => {
        const directory = room.room.path()
        await attempt(directory, ['a', 'b'], true)
        await damage(directory, pattern, change)
        const { results, calls } = await attempt(directory, ['a', 'b'])
        const [error, other] = results
        assert.ok(isPerdureError(error, 'RUN_CORRUPT'), String(error))
        assert.match(error.message, /`(run )?a|run `a/)
        assert.equal(other, 'b!')
        assert.equal(calls, 0)
      })

  test('is named when it is missing: nothing is paid again behind one’s back', async () => {
    for (const pattern of [/^r\/a%2Fdefault\/s\/turn/, /^r\/a\/s\/step/]) {
      const directory = room.room.path()
      await attempt(directory, ['a', 'b'], true)
      await damage(directory, pattern, () => undefined)
      const { results, calls } = await attempt(directory, ['a', 'b'])
      assert.ok(isPerdureError(results[0], 'RUN_CORRUPT'), String(results[0]))
      assert.deepEqual([results[1], calls], ['b!', 0])
    }
  })

  test('is named when the snapshot of a conversation that goes on is damaged', async () => {
    const directory = room.room.path()
    const one = `one ${'x'.repeat(1_000)}` // more than a head holds
    const first = await room.open(directory)
    await first
      .durable(testAgent(scriptedModel(echo)))
      .session('a')
      .run(one)
    await first
      .durable(testAgent(scriptedModel(echo)))
      .session('b')
      .run(one)
    await first.close()
    await damage(directory, /^r\/default%2Fa\/b$/, flip)
    const second = await room.open(directory)
    const agent = second.durable(testAgent(scriptedModel(echo)))
    assert.equal((await agent.session('a').run(one)).output, `${one}!`, 'what is finished is read from its own record')
    await assert.rejects(agent.session('a').run('two'), { code: 'RUN_CORRUPT' })
    assert.equal((await agent.session('b').run('two')).output, 'two!')
    await second.close()
  })

  test('is refused when a newer version wrote it', async () => {
    const directory = room.room.path()
    await attempt(directory, ['a', 'b'], true)
    await damage(directory, /^r\/a\/s\/step/, (bytes) => bytes.with(0, 9))
    const { results } = await attempt(directory, ['a', 'b'])
    assert.ok(isPerdureError(results[0], 'STORE_FORMAT_NEWER'), String(results[0]))
    assert.equal(results[1], 'b!')
  })
})

describe('no key and no base URL', () => {
  test('is found when the model is first asked; what is finished needs none, and with one the turn goes on', async () => {
    const directory = room.room.path()
    await using server = await openaiServer({ script: ({ messages }) => `answer ${messages.length}` })
    const { OPENAI_API_KEY, OPENAI_BASE_URL } = process.env
    delete process.env.OPENAI_API_KEY
    delete process.env.OPENAI_BASE_URL
    try {
      const attempt = async (baseUrl: string | undefined, input: string) => {
        const runtime = await room.open(directory)
        const agent = runtime.durable(buildAgent(profile, baseUrl === undefined ? {} : { baseUrl }))
        const flow = runtime.flow('flow', async (prompt: string) => (await agent.run(prompt)).output)
        const result = await flow.run(input).catch((error: unknown) => (isPerdureError(error) ? error.code : error))
        await runtime.close()
        return result
      }
      assert.equal(await attempt(undefined, 'a'), 'MODEL_NOT_CONFIGURED')
      assert.equal(await attempt(server.url, 'a'), 'answer 1')
      assert.equal(await attempt(undefined, 'a'), 'answer 1')
      assert.equal(await attempt(undefined, 'b'), 'MODEL_NOT_CONFIGURED')
    } finally {
      if (OPENAI_API_KEY !== undefined) process.env.OPENAI_API_KEY = OPENAI_API_KEY
      if (OPENAI_BASE_URL !== undefined) process.env.OPENAI_BASE_URL = OPENAI_BASE_URL
    }
  })
})

describe('a process', () => {
  test('whose runtime was closed in the middle of everything ends by itself', async () => {
    const program = `
      import { buildAgent, openRuntime } from 'perdure'
      import { scriptedModel } from 'perdure/testing'
      const runtime = await openRuntime({ directory: ${JSON.stringify(room.room.path())}, log: 'silent' })
      const asked = Promise.withResolvers()
      const model = scriptedModel(() => (asked.resolve(), { fault: 'hang' }))
      const agent = runtime.durable(buildAgent({ name: 'a', systemPrompt: '', model: 'm' }, { model }))
      const flow = runtime.flow('flow', async (_, { step }) => Promise.all([agent.run('a'), step('s', () => new Promise(() => {}))]))
      const runs = [flow.run(1), agent.session('x').run('b')].map((run) => run.catch((error) => error.code))
      await asked.promise
      await runtime.close()
      console.log(await Promise.all(runs))`
    const args = [
      '--conditions=perdure/source',
      '--unhandled-rejections=strict',
      '--no-warnings',
      '--input-type=module',
      '-e',
      program,
    ]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 })
    assert.equal(stdout.trim(), "[ 'ABORTED', 'ABORTED' ]")
  })
})

test('a runtime that is closed says so', async () => {
  const runtime: Runtime = await room.open()
  const flow = runtime.flow('flow', async () => 1)
  await runtime.close()
  await assert.rejects(flow.run(undefined), { code: 'STORE_CLOSED' })
})
