/** A conversation with something else from a point on: what came before is taken, what comes after is its own. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type ModelRequest, openRuntime, type Profile, type Session, tool } from 'perdure'
import { type Script, scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import {
  createRuntimeRoom,
  noteRounds,
  noteTool,
  type RecordedRuntime,
  type RuntimeRoom,
  testAgent,
} from '../support/runtime-room.ts'

let room: RuntimeRoom
before(async () => {
  room = await createRuntimeRoom()
})
after(() => room.remove())

/** All prompts that the model sees. */
const history: Script = ({ messages }) => messages.flatMap(({ role, content }) => (role === 'user' ? [content] : [])).join(' ')

async function open(
  directory: string,
  script: Script = history,
  profile: Partial<Profile> = {},
  tools: Parameters<typeof testAgent>[2] = [],
) {
  const runtime = await room.open(directory)
  const model = scriptedModel(script)
  const agent = runtime.durable(testAgent(model, profile, tools))
  return { runtime, model, agent, session: agent.session('main') }
}

async function say(session: Session, ...prompts: readonly string[]): Promise<string[]> {
  const outputs: string[] = []
  for (const prompt of prompts) outputs.push((await session.run(prompt)).output)
  return outputs
}

const toText = ({ messages }: ModelRequest): string => messages.map(({ role, content }) => `${role[0]}:${content}`).join(' | ')

async function stepsOf(runtime: RecordedRuntime, id: string, start: string): Promise<string[]> {
  const keys: string[] = []
  for await (const { key, status } of runtime.get(id).steps())
    if (key.startsWith(start)) keys.push(status === 'ok' ? key : `${key} ${status}`)
  return keys
}

describe('a fork at a turn', () => {
  test('does that turn again, and is a session like any other; its origin is as it was', async () => {
    const directory = room.room.path()
    const first = await open(directory)
    await say(first.session, 'a', 'b', 'c')
    const fork = await first.session.fork({ at: { turn: 2 }, id: 'other' })
    assert.equal(fork.runId, 'default/other')
    assert.equal(first.model.calls, 3)
    assert.equal((await fork.resume())?.output, 'a b')
    assert.equal(await fork.resume(), undefined)
    assert.deepEqual(await say(fork, 'd'), ['a b d'])
    assert.deepEqual(await say(first.session, 'e'), ['a b c e'])
    await first.runtime.close()
    const second = await open(directory)
    const again = second.agent.session('other')
    assert.deepEqual(await say(again, 'b', 'd', 'f'), ['a b', 'a b d', 'a b d f'])
    assert.equal(second.model.calls, 1)
    assert.equal((await second.runtime.get('default/other').spend()).modelCalls, 3)
    assert.deepEqual(await stepsOf(second.runtime, 'default/other', 'turn'), ['turn/000002', 'turn/000003', 'turn/000004'])
    await second.runtime.close()
  })

  test('asks something else, as something else', async () => {
    const directory = room.room.path()
    const { runtime, model, session, agent } = await open(directory, history, { settings: { temperature: 1, topP: 0.5 } })
    await say(session, 'a', 'b', 'c')
    const change = { systemPrompt: 'Be long.', model: 'other-model', settings: { temperature: 0 } }
    const { id } = await runtime.fork('default/main', { at: { turn: 2 }, prompt: 'x', ...change })
    assert.match(id, /^default\/main~[0-9a-f]{8}$/)
    const fork = agent.session(id.slice('default/'.length))
    assert.deepEqual(await say(fork, 'x', 'y'), ['a x', 'a x y'])
    for (const request of model.requests.slice(3)) {
      assert.deepEqual(
        [request.systemPrompt, request.model, request.settings],
        ['Be long.', 'other-model', { temperature: 0, topP: 0.5 }],
      )
    }
    assert.deepEqual(await say(fork, 'x', 'y'), ['a x y x', 'a x y x y'].slice(0, 2))
    await say(session, 'd')
    assert.equal(model.requests.at(-1)?.systemPrompt, 'Be brief.')
    // A fork of a fork differs in what both differ in.
    const third = await fork.fork({ at: { after: 2 }, settings: { topP: 1 } })
    assert.deepEqual(await say(third, 'z'), ['a x z'])
    assert.deepEqual(model.requests.at(-1)?.settings, { temperature: 0, topP: 1 })
    assert.equal(model.requests.at(-1)?.systemPrompt, 'Be long.')
    await runtime.close()
  })

  test('keeps the name of the turn, unless it asks something else', async () => {
    const { runtime, session, model } = await open(room.room.path())
    for (const id of ['one', 'two']) await session.run(id, { id })
    const same = await session.fork({ at: { turn: 2 } })
    assert.equal((await same.run('two', { id: 'two' })).turn, 2)
    const other = await session.fork({ at: { turn: 2 }, prompt: 'three' })
    assert.equal((await other.resume())?.output, 'one three')
    assert.equal((await other.run('four', { id: 'two' })).turn, 3)
    assert.equal(model.calls, 5)
    await runtime.close()
  })

  test('behind one waits for a prompt', async () => {
    const { runtime, session } = await open(room.room.path())
    await say(session, 'a', 'b', 'c')
    const early = await session.fork({ at: { after: 1 } })
    const late = await session.fork({ at: { after: 3 } })
    assert.equal(await early.resume(), undefined)
    assert.deepEqual(await say(early, 'x'), ['a x'])
    assert.deepEqual(await say(late, 'x', 'y'), ['a b c x', 'a b c x y'])
    await runtime.close()
  })

  test('a fork of a fork of a fork outlives all of them', async () => {
    const directory = room.room.path()
    const { runtime, session } = await open(directory)
    const long = 'w'.repeat(600)
    await say(session, `a${long}`, `b${long}`, `c${long}`, `d${long}`)
    const two = await session.fork({ at: { after: 4 }, id: '2' })
    await say(two, 'e')
    const three = await two.fork({ at: { turn: 5 }, prompt: 'f', id: '3' })
    await three.resume()
    // Of a turn that is the origin's.
    await three.fork({ at: { turn: 3 }, id: '4' })
    await runtime.close()
    const deleting = await room.open(directory)
    for (const id of ['main', '2', '3']) assert.ok(await deleting.delete(`default/${id}`))
    await deleting.close()
    const again = await open(directory)
    const output = (await again.agent.session('4').resume())?.output
    assert.equal(output, `a${long} b${long} c${long}`)
    await assert.rejects(again.agent.session('4').fork({ at: { turn: 1 } }), { code: 'FORK_IMPOSSIBLE', message: /deleted/ })
    await again.runtime.close()
    const last = await room.open(directory)
    await last.delete('default/4')
    await last.close()
    const store = await openLevelStore(directory)
    for await (const [key] of store.entries({ gte: '"', lt: '~' })) assert.fail(`${key} is left`)
    await store.close()
  })

  test('of an encrypted run can be read when that is gone; then no key is left', async () => {
    const directory = room.room.path()
    const encryption = { key: new Uint8Array(32).fill(7) }
    const openEncrypted = async () => {
      const runtime = await openRuntime({ directory, encryption, log: 'silent' })
      return { runtime, agent: runtime.durable(testAgent(scriptedModel(history))) }
    }
    const first = await openEncrypted()
    const long = 'w'.repeat(600)
    await say(first.agent.session('main'), `a${long}`, `b${long}`)
    await first.agent.session('main').fork({ at: { after: 2 }, id: 'other' })
    await first.runtime.close()
    const second = await openEncrypted()
    await second.runtime.delete('default/main')
    assert.deepEqual(await say(second.agent.session('other'), 'c'), [`a${long} b${long} c`])
    await second.runtime.close()
    const third = await openEncrypted()
    await third.runtime.delete('default/other')
    await third.runtime.close()
    const store = await openLevelStore(directory)
    for await (const [key] of store.entries({ gte: '"', lt: '~' })) assert.equal(key, 'e/store')
    await store.close()
  })

  test('of a run that has a turn under way takes what had settled', async () => {
    const directory = room.room.path()
    const { note, notes } = noteTool()
    const asked = Promise.withResolvers<void>()
    const rounds = noteRounds(2)
    let isHeld = true
    const { runtime, session } = await open(
      directory,
      (request) => {
        if (request.messages.length < 6 || !isHeld) return rounds(request)
        asked.resolve()
        return { text: 'never', fault: 'hang' }
      },
      {},
      [note],
    )
    await session.run('one')
    const going = session.run('two')
    going.catch(() => {})
    await asked.promise
    isHeld = false
    const fork = await session.fork({ at: { turn: 2 } })
    assert.equal((await fork.resume())?.output, 'noted two 1, noted two 2')
    assert.deepEqual(notes, ['one 1', 'one 2', 'two 1', 'two 2'])
    await runtime.close()
    await assert.rejects(going, { code: 'ABORTED' })
  })
})

describe('a fork at a call', () => {
  const pay = (paid: string[]) =>
    tool({
      name: 'pay',
      description: 'Pays',
      input: z.object({ to: z.string() }),
      approval: true,
      run({ to }) {
        paid.push(to)
        return `paid ${to}`
      },
    })
  /** Pays Ada and notes it in one answer, then notes once more, then says all that it was told. */
  const script: Script = ({ messages }) => {
    const answers = messages.filter(({ role }) => role === 'assistant').length
    if (answers === 0)
      return {
        toolCalls: [
          { name: 'pay', id: 'p', arguments: { to: 'Ada' } },
          { name: 'note', id: 'n', arguments: { text: 'first' } },
        ],
      }
    if (answers === 1) return { toolCalls: [{ name: 'note', id: 'n2', arguments: { text: 'second' } }] }
    return messages.flatMap(({ role, content }) => (role === 'user' || role === 'tool' ? [content] : [])).join(' | ')
  }
  const begin = async (directory = room.room.path()) => {
    const paid: string[] = []
    const { note, notes } = noteTool()
    const opened = await open(directory, script, {}, [pay(paid), note])
    return { ...opened, paid, notes }
  }
  const approve = async (runtime: RecordedRuntime, run: string, value: unknown): Promise<void> => {
    for (;;) {
      for await (const { id } of runtime.pending({ run })) return runtime.get(run).answer(id, value)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const runOnce = async () => {
    const world = await begin()
    const run = world.session.run('go')
    await approve(world.runtime, 'default/main', true)
    assert.equal((await run).output, 'go | paid Ada | noted first | noted second')
    return world
  }

  test('asks the model again, and makes no call again that it had made before', async () => {
    const { runtime, session, model, paid, notes } = await runOnce()
    const fork = await session.fork({ at: { turn: 1, call: 'm2' }, systemPrompt: 'Be long.' })
    const copied = (await stepsOf(runtime, fork.runId, 'call/')).map((key) => key.replace(/^call\/000001\.1\//, ''))
    assert.deepEqual(copied.slice(0, 3), ['m001', 'm001/n', 'm001/p'])
    assert.match(copied[3] ?? '', /^m001\/p\/approval\/[^/]+$/)
    assert.equal(copied.length, 4)
    const { output, spend } = (await fork.resume()) ?? assert.fail()
    assert.equal(output, 'go | paid Ada | noted first | noted second')
    assert.deepEqual([paid, notes], [['Ada'], ['first', 'second', 'second']])
    assert.deepEqual([model.calls, spend.modelCalls, spend.toolCalls], [5, 2, 1])
    assert.equal(model.requests.at(-2)?.messages.length, 4)
    await runtime.close()
  })

  test('takes another result for that of a tool, and keeps what ran beside it', async () => {
    const { runtime, session, paid, notes } = await runOnce()
    for (const [id, result, told] of [
      ['text', 'paid Bob', 'paid Bob'],
      ['json', { to: 'Bob' }, '{"to":"Bob"}'],
    ] as const) {
      const fork = await session.fork({ at: { turn: 1, call: 'm1/p' }, result, id })
      assert.equal((await fork.resume())?.output, `go | ${told} | noted first | noted second`)
    }
    assert.deepEqual([paid, notes], [['Ada'], ['first', 'second', 'second', 'second']])
    await runtime.close()
  })

  test('takes another answer of a person; or asks again', async () => {
    const { runtime, session, paid } = await runOnce()
    const denied = await session.fork({ at: { turn: 1, call: 'm1/p' }, answer: { approved: false, reason: 'Too much.' } })
    assert.match((await denied.resume())?.output ?? '', /^go \| A person denied this call of `pay`.*Too much\. \| noted first/)
    const edited = await session.fork({ at: { turn: 1, call: 'm1/p' }, answer: { approved: true, arguments: { to: 'Bob' } } })
    assert.match((await edited.resume())?.output ?? '', /paid Bob/)
    // What was approved stays so when the call is made again.
    const again = await session.fork({ at: { turn: 1, call: 'm1/p' } })
    assert.match((await again.resume())?.output ?? '', /paid Ada/)
    assert.deepEqual(paid, ['Ada', 'Bob', 'Ada'])
    const [approval = ''] = (await stepsOf(runtime, 'default/main', 'call/')).filter((key) => key.includes('/approval/'))
    const asking = await session.fork({ at: { turn: 1, call: approval } })
    const resumed = asking.resume()
    await approve(runtime, asking.runId, false)
    assert.match((await resumed)?.output ?? '', /denied/)
    assert.equal(paid.length, 3)
    await assert.rejects(session.fork({ at: { turn: 1, call: 'm1/p' }, answer: 'maybe' }), { code: 'ANSWER_INVALID' })
    await runtime.close()
  })

  test('takes another answer to a question of the model, and what a tool returned in its place', async () => {
    const asking: Script = ({ messages }) => {
      const last = messages.at(-1)
      return last?.role === 'tool'
        ? last.content
        : { toolCalls: [{ name: 'askHuman', id: 'q', arguments: { question: 'Which?' } }] }
    }
    const { runtime, session } = await open(room.room.path(), asking, { allowedTools: ['askHuman'] })
    const run = session.run('go')
    await approve(runtime, 'default/main', 'blue')
    assert.equal((await run).output, 'blue')
    const answered = await session.fork({ at: { turn: 1, call: 'm1/q' }, answer: 'red' })
    assert.equal((await answered.resume())?.output, 'red')
    const returned = await session.fork({ at: { turn: 1, call: 'm1/q' }, result: 'green' })
    assert.equal((await returned.resume())?.output, 'green')
    await assert.rejects(session.fork({ at: { turn: 1, call: 'm1/q' }, answer: 7 }), { code: 'ANSWER_INVALID' })
    await runtime.close()
  })

  test('knows what was said in the middle of the turn', async () => {
    const directory = room.room.path()
    const gate = Promise.withResolvers<void>()
    const reached = Promise.withResolvers<void>()
    const { note } = noteTool(async (text) => {
      if (text !== 'go 1') return
      reached.resolve()
      await gate.promise
    })
    const seen: string[] = []
    const { runtime, session } = await open(
      directory,
      (request) => {
        seen.push(toText(request))
        const answers = request.messages.filter(({ role }) => role === 'assistant').length
        return answers < 3 ? { toolCalls: [{ name: 'note', arguments: { text: `go ${answers + 1}` } }] } : 'done'
      },
      {},
      [note],
    )
    const run = session.run('go')
    await reached.promise
    await session.steer('also this')
    gate.resolve()
    await run
    const fork = await session.fork({ at: { turn: 1, call: 'm3' } })
    await fork.resume()
    assert.equal(seen[4], seen[2])
    assert.match(seen[4] ?? '', /u:go \| a: \| t:noted go 1 \| u:also this \| a: \| t:noted go 2$/)
    await runtime.close()
  })

  test('a limit of the turn counts what the calls before it used, and the run begins anew', async () => {
    let rounds = 3
    const limited = { limits: { steps: 4 }, runLimits: { steps: 5 } }
    const script: Script = (request) => noteRounds(rounds)(request)
    const { runtime, session } = await open(room.room.path(), script, limited, [noteTool().note])
    await session.run('go')
    const fork = await session.fork({ at: { turn: 1, call: 'm4' } })
    assert.ok(await fork.resume())
    await assert.rejects(session.run('more'), {
      code: 'LIMIT_REACHED',
      details: { limit: 'steps', scope: 'run', max: 5, spent: 5, turn: 2 },
    })
    assert.ok(await fork.run('more')) // its fifth
    rounds = 4
    const longer = await session.fork({ at: { turn: 1, call: 'm4' } })
    await assert.rejects(longer.resume(), {
      code: 'LIMIT_REACHED',
      details: { limit: 'steps', scope: 'turn', max: 4, spent: 4, turn: 1 },
    })
    await runtime.close()
  })
})

describe('what cannot be forked', () => {
  test('says what can be', async () => {
    const { runtime, session, model, agent } = await open(room.room.path(), ['one', { text: 'no', error: new Error('bad luck') }])
    await session.run('a')
    const fork = (options: object) => runtime.fork('default/main', options as never)
    const impossible = (message: RegExp) => ({ code: 'FORK_IMPOSSIBLE', message })
    await assert.rejects(fork({ at: { turn: 2 } }), impossible(/has 1 turns, and no turn 2/))
    await assert.rejects(fork({ at: { after: 2 } }), impossible(/has 1 turns/))
    await assert.rejects(fork({ at: { turn: 1, call: 'm2' } }), impossible(/`m2` of turn 1 is no call.*`m1`/))
    await assert.rejects(fork({ at: { turn: 1, call: 'tool' } }), impossible(/is no call/))
    await assert.rejects(fork({ at: { turn: 1, call: 'm1/x' }, result: 1 }), impossible(/tool calls of that answer are none/))
    await assert.rejects(fork({ at: { turn: 1, call: 'm1' }, result: 1 }), impossible(/asks a model/))
    await assert.rejects(runtime.fork('default/none', { at: { turn: 1 } }), { code: 'RUN_NOT_FOUND' })
    await assert.rejects(fork({ at: { turn: 1 }, id: 'default/main' }), { code: 'RUN_CONFLICT' })
    for (const id of ['other', 'other/main', 'default/', 'default/main/x'])
      await assert.rejects(fork({ at: { turn: 1 }, id }), { code: 'RUN_ID_INVALID' }, id)
    for (const options of [
      {},
      { at: { turn: 0 } },
      { at: { turn: 1, after: 1 } },
      { at: { turn: 1 }, result: 1 },
      { at: { turn: 1, call: 'm1' }, prompt: 'x' },
      { at: { after: 1 }, prompt: 'x' },
      { at: { turn: 1, call: 'm1' }, result: 1, answer: 1 },
      { at: { turn: 1 }, settings: { temperature: 9 } },
      { at: { turn: 1 }, tools: [] },
    ])
      await assert.rejects(fork(options), TypeError, JSON.stringify(options))
    await assert.rejects(session.run('b'))
    await assert.rejects(fork({ at: { after: 2 } }), impossible(/turn 2 has come to no answer/))
    const flow = runtime.flow('job', async () => agent.run('in a flow'))
    await assert.rejects(flow.run(undefined, { id: 'job-1' }))
    await assert.rejects(runtime.fork('job-1', { at: { turn: 1 } }), impossible(/is the flow `job`.*`job-1\/<agent>`/))
    assert.equal(model.calls >= 2, true)
    await runtime.close()
  })

  test('the conversation of a flow can: as a session', async () => {
    const { runtime, agent } = await open(room.room.path())
    const flow = runtime.flow('job', async () => {
      await agent.run('a')
      await agent.run('b')
    })
    await flow.run(undefined, { id: 'job-1' })
    const { id } = await runtime.fork('job-1/default', { at: { turn: 2 }, prompt: 'x' })
    assert.match(id, /^default\/fork~/)
    const session = agent.session(id.slice('default/'.length))
    assert.deepEqual(await say(session, 'x', 'y'), ['a x', 'a x y'])
    await runtime.delete('job-1')
    assert.deepEqual(await say(session, 'z'), ['a x y z'])
    await runtime.close()
  })
})
