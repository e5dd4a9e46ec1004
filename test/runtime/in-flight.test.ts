/** What races and deaths did to turns, questions and limits before it was mended. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Pending, Runtime, ToolContext } from 'perdure'
import { tool } from 'perdure'
import { type ScriptedAnswer, scriptedModel } from 'perdure/testing'
import { setup } from 'xstate'
import { z } from 'zod'
import { eventually } from '../support/processes.ts'
import { createRuntimeRoom, lastPrompt, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

const anything = z.object({})
const callOf = (...names: readonly string[]): ScriptedAnswer => ({ toolCalls: names.map((name) => ({ name, arguments: {} })) })

async function listPending(runtime: Runtime): Promise<Pending[]> {
  const all: Pending[] = []
  for await (const pending of runtime.pending()) all.push(pending)
  return all
}
const firstPending = (runtime: Runtime): Promise<Pending> =>
  eventually('something waits for a person', async () => (await listPending(runtime))[0])

describe('work in flight', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** A tool that says when it has begun, and ends when it is told to, whatever its signal says. */
  const heldTool = (name: string) => {
    const begun = Promise.withResolvers<ToolContext>()
    const end = Promise.withResolvers<string>()
    const attempts: number[] = []
    const held = tool({
      name,
      description: 'Takes its time',
      input: anything,
      async run(_, context) {
        attempts.push(context.attempt)
        begun.resolve(context)
        return end.promise
      },
    })
    return { held, begun: begun.promise, end, attempts }
  }

  test('a call that was interrupted and ends after its turn leaves the turn as it was', async () => {
    const directory = room.room.path()
    const runtime = await room.open(directory)
    const { held, begun, end } = heldTool('slow')
    const script = ({ messages }: Parameters<Exclude<Parameters<typeof scriptedModel>[0], readonly unknown[]>>[0]) =>
      messages.length === 1 ? callOf('slow') : { text: `to ${messages.at(-1)?.content}` }
    const session = runtime.durable(testAgent(scriptedModel(script), {}, [held])).session('s')
    const turn = session.run('hello', { id: 'm1' })
    await begun
    await session.interrupt('stop that')
    assert.equal((await turn).output, 'to stop that')
    const settled = eventually('the late call is recorded', () =>
      runtime.events.find((event) => event.type === 'call.settled' && event.kind === 'tool'),
    )
    end.resolve('late')
    await settled
    assert.equal((await session.run('again', { id: 'm2' })).output, 'to again')
    await runtime.close()

    const next = await room.open(directory)
    const model = scriptedModel(() => assert.fail('it is in the store'))
    const again = await next
      .durable(testAgent(model, {}, [held]))
      .session('s')
      .run('hello', { id: 'm1' })
    assert.deepEqual([again.output, again.reused], ['to stop that', true])
  })

  test('an external tool that was aborted and is slow to end is not executed again when its turn is', async () => {
    const runtime = await room.open()
    const { held, begun, end, attempts } = heldTool('pay')
    const session = runtime
      .durable(
        testAgent(
          scriptedModel(({ messages }) => (messages.at(-1)?.role === 'tool' ? (messages.at(-1)?.content ?? '') : callOf('pay'))),
          {},
          [held],
        ),
      )
      .session('s')
    const abort = new AbortController()
    const cut = session.run('pay', { signal: abort.signal })
    await begun
    abort.abort()
    await assert.rejects(cut, { code: 'ABORTED' })
    const again = session.run('pay')
    end.reject(new Error('ended'))
    assert.match((await again).output, /outcome is not known/)
    assert.deepEqual(attempts, [1])
  })

  for (const checkpoint of ['turn', 'calls'] as const)
    test(`what a user said meanwhile is not lost when the process ends (\`${checkpoint}\`)`, async () => {
      const directory = room.room.path()
      const began = Promise.withResolvers<void>()
      let hangs = true
      const slow = tool({
        name: 'slow',
        description: 'Slow',
        effect: 'none',
        input: anything,
        async run() {
          began.resolve()
          if (hangs) await new Promise(() => {})
          return 'done'
        },
      })
      const live = async () => {
        const runtime = await room.open(directory)
        const model = scriptedModel(({ messages }) =>
          messages.some(({ role }) => role === 'tool')
            ? messages.flatMap(({ role, content }) => (role === 'user' ? content : [])).join(', ')
            : callOf('slow'),
        )
        return { runtime, session: runtime.durable(testAgent(model, {}, [slow]), { checkpoint }).session('s') }
      }
      const first = await live()
      const cut = first.session.run('go').catch(() => {})
      await began.promise
      await first.session.steer('and more')
      await first.runtime.close()
      await cut
      hangs = false
      const second = await live()
      assert.equal((await second.session.run('go')).output, 'go, and more')
      assert.equal((await second.session.run('next')).output, 'go, and more, next')
    })

  test('no message joins a turn that has come to its end', async () => {
    const runtime = await room.open()
    const session = runtime.durable(testAgent(scriptedModel((request) => `${lastPrompt(request)}!`))).session('s')
    await session.run('one')
    await assert.rejects(session.steer('late'), { code: 'TURN_NOT_RUNNING' })
    await assert.rejects(session.interrupt('late'), { code: 'TURN_NOT_RUNNING' })
    await assert.rejects(runtime.get('default/s').send({ type: 'prompt', text: 'x' } as never), { code: 'RUN_CONFLICT' })
    assert.equal((await session.run('two')).output, 'two!')
  })

  test('nothing waits for a person once the machine that asked has failed', async () => {
    const danger = tool({ name: 'danger', description: 'Dangerous', input: anything, approval: true, run: () => 'done' })
    const child = testAgent(
      scriptedModel(() => callOf('danger')),
      { name: 'child' },
      [danger],
    )
    const parent = setup({ types: { events: {} as { type: 'boom' } }, actors: { child: child.machine } }).createMachine({
      id: 'parent',
      invoke: { id: 'child', src: 'child', input: { prompt: 'go' } },
      on: {
        boom: {
          actions: () => {
            throw new Error('boom')
          },
        },
      },
    })
    const { openRuntime } = await import('perdure')
    await using runtime = await openRuntime({ directory: room.room.path(), machines: [parent], log: 'silent' })
    const run = await runtime.start(parent, { id: 'run' })
    await firstPending(runtime)
    await run.send({ type: 'boom' })
    await assert.rejects(run.done(), /boom/)
    await eventually('the question is withdrawn', async () => (await listPending(runtime)).length === 0)
    // It is withdrawn in a commit of its own, after that of the failure.
    await eventually('its record says so', async () => {
      const statuses = []
      for await (const { kind, status } of run.steps()) if (kind === 'approval') statuses.push(status)
      return statuses.join() === 'error'
    })
  })

  test('a question is answered once, however many answer at once', async () => {
    const runtime = await room.open()
    const danger = tool({ name: 'danger', description: 'Dangerous', input: anything, approval: true, run: () => 'done' })
    const model = scriptedModel(({ messages }) => (messages.at(-1)?.role === 'tool' ? 'end' : callOf('danger')))
    const turn = runtime
      .durable(testAgent(model, {}, [danger]))
      .session('s')
      .run('go')
    const { id } = await firstPending(runtime)
    const run = runtime.get('default/s')
    const answers = await Promise.allSettled([run.answer(id, true), run.answer(id, true), run.answer(id, false)])
    assert.deepEqual(
      answers.map((one) => (one.status === 'fulfilled' ? 'taken' : one.reason.code)),
      ['taken', 'STEP_SETTLED', 'STEP_SETTLED'],
    )
    assert.equal((await turn).output, 'end')
  })

  test('a question of a turn that was cut off is answered while its session is in memory for another', async () => {
    const directory = room.room.path()
    const danger = tool({ name: 'danger', description: 'Dangerous', input: anything, approval: true, run: () => 'done' })
    const open = async () => {
      const runtime = await room.open(directory)
      const model = scriptedModel(({ messages }) => {
        const last = messages.at(-1)
        return last?.role === 'tool' ? last.content : last?.content === 'two' ? callOf('danger') : { text: 'one!' }
      })
      return { runtime, session: runtime.durable(testAgent(model, {}, [danger])).session('s') }
    }
    const first = await open()
    await first.session.run('one', { id: '1' })
    const cut = first.session.run('two', { id: '2' })
    cut.catch(() => {})
    await firstPending(first.runtime)
    await first.runtime.close()

    const second = await open()
    assert.equal((await second.session.run('one', { id: '1' })).reused, true)
    const { runId, id } = await firstPending(second.runtime)
    await second.runtime.get(runId).answer(id, true)
    assert.equal((await second.session.run('two', { id: '2' })).output, 'done')
  })

  test('the limits of a conversation hold over a turn that starts over', async () => {
    const directory = room.room.path()
    let asked = 0
    const life = async (hangs: boolean) => {
      const runtime = await room.open(directory)
      const hung = Promise.withResolvers<void>()
      const model = scriptedModel(() => {
        asked++
        if (!hangs || asked % 2 === 1) return 'x'
        hung.resolve()
        return { text: 'never', fault: 'hang' } as const
      })
      const session = runtime.durable(testAgent(model, { runLimits: { steps: 4 } }), { checkpoint: 'turn' }).session('s')
      return { runtime, hung: hung.promise, run: (id: string) => session.run(id, { id }) }
    }
    const first = await life(true)
    await first.run('1')
    const cut = first.run('2')
    cut.catch(() => {})
    await first.hung
    await first.runtime.close()
    const second = await life(false)
    await second.run('2')
    await second.run('3')
    await second.run('4').catch(() => {})
    await assert.rejects(second.run('5'), { code: 'LIMIT_REACHED' })
    assert.ok(asked <= 5, `${asked} requests`)
  })

  test('a limit that a person has extended stays so in the turns that follow', async () => {
    const runtime = await room.open()
    const agent = testAgent(
      scriptedModel(() => 'x'),
      { runLimits: { steps: 1 }, onLimit: 'ask' },
    )
    const session = runtime.durable(agent).session('s')
    await session.run('one')
    const second = session.run('two')
    const { runId, id } = await firstPending(runtime)
    await runtime.get(runId).answer(id, { extend: { steps: 1_000 } })
    await second
    for (const prompt of ['three', 'four']) assert.equal((await session.run(prompt)).output, 'x')
    assert.deepEqual(await listPending(runtime), [])
  })

  test('an interrupt at a limit ends the calls that were left', async () => {
    const runtime = await room.open()
    const did: string[] = []
    const wait = tool({
      name: 'wait',
      description: 'Waits until it is ended',
      input: anything,
      effect: 'none',
      run: (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    })
    const del = tool({ name: 'del', description: 'Deletes', input: anything, run: () => did.push('deleted') })
    const model = scriptedModel(({ messages }) =>
      messages.length === 1 ? callOf('wait', 'del') : `to ${messages.at(-1)?.content}`,
    )
    const profile = { maxParallel: 1, limits: { wallTimeMs: 50 }, onLimit: 'ask' } as const
    const session = runtime.durable(testAgent(model, profile, [wait, del])).session('s')
    const turn = session.run('go')
    const { runId, id } = await firstPending(runtime)
    await session.interrupt('delete nothing')
    await runtime.get(runId).answer(id, { extend: { wallTimeMs: 60_000 } })
    assert.equal((await turn).output, 'to delete nothing')
    assert.deepEqual(did, [])
  })
})
