/** A step in doubt as a person meets it: seen in `run.steps()`, settled by hand, or asked about. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fromStep, isPerdureError, type OnDoubt, type Recovery, type Runtime, type Tool, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { readPending } from '../support/pending-list.ts'
import { eventually } from '../support/processes.ts'
import { testAgent } from '../support/runtime-room.ts'

interface SendOptions {
  readonly onDoubt?: OnDoubt
  readonly recover?: () => Recovery<string>
}

describe('a step in doubt', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  const key = 'call/000001/m001/call_1'
  const sendTool = (run: () => unknown, options: SendOptions = {}): Tool =>
    tool({ name: 'send', description: 'Sends', input: z.object({}), run, ...options })
  /** Calls `send`, then says what it was told. */
  const model = () =>
    scriptedModel(({ messages }) => {
      const told = messages.find(({ role }) => role === 'tool')
      return told?.content ?? { toolCalls: [{ name: 'send', id: 'call_1' }] }
    })
  const forever = () => new Promise<never>(() => {})
  const agentOf = (run: () => unknown, options?: SendOptions) => testAgent(model(), {}, [sendTool(run, options)])

  /** Begins an agent's run that is left while the tool runs. */
  const leave = async (options?: SendOptions): Promise<string> => {
    const directory = room.directory()
    const running = Promise.withResolvers<void>()
    const agent = agentOf(() => {
      running.resolve()
      return forever()
    }, options)
    const runtime = await room.open(directory, [agent.machine])
    await runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    await running.promise
    await runtime.close()
    return directory
  }
  const open = (directory: string, options?: SendOptions, autoResume = false) =>
    room.open(directory, [agentOf(() => 'sent', options).machine], { autoResume })
  const told = async (directory: string, options?: SendOptions) => {
    await using runtime = await open(directory, options, true)
    const { output } = (await runtime.get('run').done()) as { output: string } // an agent's
    return output
  }
  const statusOf = async (runtime: Runtime, step = key) => {
    for await (const info of runtime.get('run').steps())
      if (info.key === step) return [info.status, info.attempt, info.resolution]
    return undefined
  }
  const pending = async (runtime: Runtime) => (await readPending(runtime)).map(({ id, kind }) => `${kind} ${id}`)

  test('is listed as such, and settled by hand with a result that the model is told', async () => {
    const directory = await leave()
    const runtime = await open(directory)
    assert.deepEqual(await statusOf(runtime), ['inDoubt', 1, undefined])
    await runtime.get('run').settle(key, { result: { id: 7 } })
    assert.deepEqual(await statusOf(runtime), ['ok', 1, 'answered'])
    await runtime.close()
    assert.equal(await told(directory), '{"id":7}')
  })

  for (const [outcome, text] of [
    [{ result: 'gone' }, 'gone'],
    [{ error: 'dead' }, 'Tool `send` failed: dead'],
  ] as const)
    test(`whose arguments a person had changed is settled by hand with that said: ${text}`, async () => {
      const directory = room.directory()
      const running = Promise.withResolvers<void>()
      const create = () =>
        testAgent(model(), {}, [
          tool({
            name: 'send',
            description: 'Sends',
            input: z.object({ to: z.string().optional() }),
            approval: true,
            run() {
              running.resolve()
              return forever()
            },
          }),
        ]).machine
      const first = create()
      const runtime = await room.open(directory, [first])
      const run = await runtime.start(first, { id: 'run', input: { prompt: 'go' } })
      const [question] = await eventually('a question', async () => {
        const found = await readPending(runtime)
        return found.length > 0 ? found : undefined
      })
      assert.ok(question)
      await run.answer(question.id, { approved: true, arguments: { to: 'Ann' } })
      await running.promise
      await runtime.close()
      const next = await room.open(directory, [create()], { autoResume: false })
      const open = []
      for await (const { key, kind, status } of next.get('run').steps())
        if (kind === 'tool' && status === 'inDoubt') open.push(key)
      assert.equal(open.length, 1)
      await next.get('run').settle(open[0] ?? '', outcome)
      await next.close()
      await using last = await room.open(directory, [create()])
      assert.deepEqual(
        await last
          .get('run')
          .done()
          .then((answer) => (answer as { output: string }).output),
        `(A person changed the arguments to {"to":"Ann"}.)\n${text}`,
      )
    })

  test('is settled by hand with an error that the model is told', async () => {
    const directory = await leave()
    const runtime = await open(directory)
    await runtime.get('run').settle(key, { error: 'the line was dead' })
    await runtime.close()
    assert.equal(await told(directory), 'Tool `send` failed: the line was dead')
  })

  test('is settled once, also when two settle it at the same time', async () => {
    const runtime = await open(await leave())
    const run = runtime.get('run')
    const both = await Promise.allSettled([run.settle(key, { result: 'one' }), run.settle(key, { result: 'two' })])
    assert.deepEqual(both.map((settled) => (settled.status === 'rejected' ? settled.reason.code : 'ok')).sort(), [
      'STEP_SETTLED',
      'ok',
    ])
    await rejectsWith(run.settle(key, { result: 'three' }), 'STEP_SETTLED')
    await runtime.close()
  })

  test('is told from a step that settled, one that is none, and a run that is none', async () => {
    const runtime = await open(await leave())
    const run = runtime.get('run')
    await rejectsWith(run.settle('call/000001/m001', { result: '' }), 'STEP_SETTLED')
    await rejectsWith(run.settle('call/000009/m001', { result: '' }), 'STEP_UNKNOWN')
    await rejectsWith(runtime.get('nobody').settle(key, { result: '' }), 'RUN_NOT_FOUND')
    await assert.rejects(run.settle(key, { wrong: 1 } as never), TypeError) // what types forbid
    assert.deepEqual(await statusOf(runtime), ['inDoubt', 1, undefined])
    await runtime.close()
  })

  test('cannot be settled while the run executes it, and is listed as running', async () => {
    const agent = agentOf(forever)
    const runtime = await room.open(room.directory(), [agent.machine])
    const started = new Promise<void>((resolve) =>
      runtime.subscribe((event) => void (event.type === 'call.started' && event.kind === 'tool' && resolve())),
    )
    const run = await runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    await started
    assert.deepEqual(await statusOf(runtime), ['running', 1, undefined])
    await rejectsWith(run.settle(key, { result: '' }), 'RUN_CONFLICT')
    await runtime.close()
  })

  test('of a model is not settled by hand', async () => {
    const agent = testAgent(scriptedModel([{ fault: 'hang' }]))
    const directory = room.directory()
    const first = await room.open(directory, [agent.machine])
    const started = new Promise<void>((resolve) => first.subscribe((event) => void (event.type === 'call.started' && resolve())))
    await first.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    await started
    // Its intent need not be on disk before it starts.
    await eventually('it is recorded', async () => (await statusOf(first, 'call/000001/m001')) !== undefined)
    await first.close()
    const second = await open(directory)
    assert.deepEqual(await statusOf(second, 'call/000001/m001'), ['inDoubt', 1, undefined])
    await rejectsWith(second.get('run').settle('call/000001/m001', { result: '' }), 'STEP_UNKNOWN')
    await second.close()
  })

  for (const [outcome, expected] of [
    [{ result: 42 }, '42'],
    [{ error: 'no' }, 'Error: no'],
  ] as const)
    test(`of a machine is settled by hand with ${Object.keys(outcome)}`, async () => {
      const running = Promise.withResolvers<void>()
      const machineOf = (execute: () => Promise<number>) =>
        setup({ types: { context: {} as { told: string } }, actors: { send: fromStep(execute) } }).createMachine({
          id: 'machine',
          context: { told: '' },
          output: ({ context }) => context.told,
          initial: 'sending',
          states: {
            sending: {
              invoke: {
                id: 'send',
                src: 'send',
                onDone: { target: 'done', actions: assign({ told: ({ event }) => String(event.output) }) },
                onError: { target: 'done', actions: assign({ told: ({ event }) => String(event.error) }) },
              },
            },
            done: { type: 'final' },
          },
        })
      const directory = room.directory()
      const hanging = machineOf(() => {
        running.resolve()
        return forever()
      })
      const first = await room.open(directory, [hanging])
      await first.start(hanging, { id: 'run' })
      await running.promise
      await first.close()

      const second = await room.open(directory, [hanging], { autoResume: false })
      assert.deepEqual(await statusOf(second, 'send#1'), ['inDoubt', 1, undefined])
      await second.get('run').settle('send#1', outcome)
      await second.close()

      const third = await room.open(directory, [machineOf(() => assert.fail('it is settled'))])
      assert.equal(await third.get('run').done(), expected)
      await third.close()
    })

  for (const [outcome, expected] of [
    [{ result: 42 }, 42],
    [{ error: 'no' }, 'Error: no'],
  ] as const)
    test(`of a flow is settled by hand with ${Object.keys(outcome)}`, async () => {
      const directory = room.directory()
      const running = Promise.withResolvers<void>()
      const start = (runtime: Runtime, execute: () => Promise<number>) =>
        runtime.flow('flow', (_input: undefined, { step }) => step('send', execute)).run(undefined, { id: 'run' })
      const first = await room.open(directory, [])
      const dying = start(first, () => {
        running.resolve()
        return forever()
      })
      dying.catch(() => {})
      await running.promise
      await first.close()
      const second = await room.open(directory, [])
      assert.deepEqual(await statusOf(second, 'step/send'), ['inDoubt', 1, undefined])
      await second.get('run').settle('step/send', outcome)
      const again = start(second, () => assert.fail('it is settled'))
      assert.equal(await again.catch(String), expected)
      await second.close()
    })

  /** Left with a question about it. */
  const leaveAsked = async (options: SendOptions): Promise<string> => {
    const directory = await leave(options)
    const runtime = await open(directory, options, true)
    await eventually('it is asked', async () => (await pending(runtime)).length === 1)
    assert.deepEqual(await statusOf(runtime), ['running', 1, undefined])
    assert.deepEqual(await pending(runtime), [`doubt ${key}/doubt/1`])
    await runtime.close()
    return directory
  }

  test('about which a person is asked takes the answer that is given while nothing runs', async () => {
    const directory = await leaveAsked({ onDoubt: 'ask' })
    const runtime = await open(directory, { onDoubt: 'ask' })
    await rejectsWith(runtime.get('run').answer(`${key}/doubt/1`, 'sent'), 'ANSWER_INVALID')
    assert.equal((await pending(runtime)).length, 1)
    await runtime.close()
    const again = await open(directory, { onDoubt: 'ask' })
    const answered = again.get('run').answer(`${key}/doubt/1`, { retry: true })
    await answered
    assert.equal(((await again.get('run').done()) as { output: string }).output, 'sent')
    assert.deepEqual(await statusOf(again), ['ok', 2, 'retried'])
    await again.close()
  })

  test('that a person settles by hand is not asked about any more', async () => {
    const directory = await leaveAsked({ onDoubt: 'ask' })
    const runtime = await open(directory, { onDoubt: 'ask' })
    await runtime.get('run').settle(key, { result: 'seen by hand' })
    assert.deepEqual(await pending(runtime), [])
    await runtime.close()
    assert.equal(await told(directory, { onDoubt: 'ask' }), 'seen by hand')
  })

  test('is settled by hand while its question is open in memory', async () => {
    const directory = await leave({ onDoubt: 'ask' })
    const runtime = await open(directory, { onDoubt: 'ask' }, true)
    await eventually('it is asked', async () => (await pending(runtime)).length === 1)
    await runtime.get('run').settle(key, { error: 'lost' })
    assert.equal(((await runtime.get('run').done()) as { output: string }).output, 'Tool `send` failed: lost')
    assert.deepEqual(await pending(runtime), [])
    await runtime.close()
  })

  test('that the outside world can tell of by now is not asked about any more', async () => {
    const directory = await leaveAsked({ onDoubt: 'ask', recover: () => ({ status: 'unknown' }) })
    const options: SendOptions = { onDoubt: 'ask', recover: () => ({ status: 'settled', value: 'found' }) }
    const runtime = await open(directory, options, true)
    const first = await runtime.get('run').waitFor(({ status }) => status === 'done')
    assert.equal((first.output as { output: string }).output, 'found')
    assert.deepEqual(await statusOf(runtime, `${key}/doubt/1`), ['error', 1, undefined], 'it is withdrawn')
    assert.deepEqual(await pending(runtime), [])
    await rejectsWith(runtime.get('run').answer(`${key}/doubt/1`, { result: 'late' }), 'STEP_UNKNOWN')
    await runtime.close()
  })

  test('follows what a person has said, whatever its policy and the outside world say later', async () => {
    const directory = room.directory()
    const running = Promise.withResolvers<void>()
    const hanging = () => {
      running.resolve()
      return forever()
    }
    const first = await room.open(directory, [])
    const start = (runtime: Runtime, run: () => unknown, options: SendOptions) =>
      runtime.durable(agentOf(run, options)).session('one').run('go')
    const dying = start(first, hanging, { onDoubt: 'ask' })
    dying.catch(() => {})
    await running.promise
    await first.close()
    const second = await room.open(directory, [])
    const asking = start(second, hanging, { onDoubt: 'ask' })
    asking.catch(() => {})
    await eventually('it is asked', async () => (await pending(second)).length === 1)
    await second.close()
    const third = await room.open(directory, [])
    const [question] = await readPending(third)
    await third.get('default/one').answer(question?.id ?? '', { result: 'it was sent' })
    await third.close()
    const fourth = await room.open(directory, [])
    const turn = await start(fourth, () => assert.fail('it was sent'), {
      onDoubt: 'retry',
      recover: () => ({ status: 'notStarted' }),
    })
    assert.equal(turn.output, 'it was sent')
    await fourth.close()
  })

  test('is left as it is by a runtime that closes, and by a cancellation that it does not answer', async () => {
    const directory = await leave({ onDoubt: 'ask' })
    const runtime = await open(directory, { onDoubt: 'ask' }, true)
    await eventually('it is asked', async () => (await pending(runtime)).length === 1)
    await runtime.get('run').cancel('enough')
    assert.deepEqual(await pending(runtime), [])
    assert.deepEqual(await statusOf(runtime), ['inDoubt', 1, undefined])
    await assert.rejects(
      runtime.get('run').answer(`${key}/doubt/1`, { retry: true }),
      (error) => isPerdureError(error) && error.code === 'STEP_UNKNOWN',
    )
    await runtime.close()
  })
})
