/** How agents that work for calls of others end, what they cost, and what is left of them: also when they are cancelled, limited or removed. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Agent, isPerdureError, type Runtime, tool } from 'perdure'
import { type ScriptedAnswer, scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { readPending } from '../support/pending-list.ts'
import {
  callNote,
  createRuntimeRoom,
  echo,
  lastPrompt,
  noteRounds,
  noteTool,
  type RuntimeRoom,
  testAgent,
} from '../support/runtime-room.ts'

const forever = new Promise<never>(() => {})

/** Asks for what `toCalls` makes of the prompt, then says what came of it. */
const delegate = (...calls: readonly { readonly name: string; readonly prompt: string }[]) =>
  scriptedModel((request): ScriptedAnswer => {
    const results = request.messages.slice(request.messages.findLastIndex(({ role }) => role === 'user') + 1)
    if (results.length > 0)
      return { text: results.flatMap(({ role, content }) => (role === 'tool' ? [content] : [])).join(' | ') }
    return { toolCalls: calls.map(({ name, prompt }) => ({ name, arguments: { prompt } })) }
  })

const toRuns = async (runtime: Runtime): Promise<Record<string, string>> => {
  const runs: Record<string, string> = {}
  for await (const { id, status } of runtime.runs()) runs[id.replace(/\.[\w-]{16}/g, '')] = status
  return runs
}
const statusOfTurn = async (runtime: Runtime, run: RegExp): Promise<string | undefined> => {
  for await (const { id } of runtime.runs())
    if (run.test(id)) for await (const step of runtime.get(id).steps()) if (step.kind === 'turn') return step.status
  return undefined
}

describe('an agent that works for a call', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('is cancelled with the turn of its parent, says what had settled, and goes on from there', async () => {
    const runtime = await room.open()
    const begun = Promise.withResolvers<void>()
    const aborted: unknown[] = []
    let isHeld = true
    const { note, notes } = noteTool((text, signal) => {
      if (text !== 'go 2' || !isHeld) return
      signal.addEventListener('abort', () => aborted.push(signal.reason))
      begun.resolve()
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const model = scriptedModel(noteRounds(2))
    const worker = testAgent(model, { name: 'worker' }, [note])
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
    const session = runtime.durable(boss).session('s')
    const controller = new AbortController()
    const cut = session.run('go', { signal: controller.signal })
    cut.catch(() => {})
    await begun.promise
    controller.abort()
    await assert.rejects(cut, { code: 'ABORTED' })
    assert.deepEqual(
      aborted.map((reason) => isPerdureError(reason, 'ABORTED')),
      [true],
      'the call of the child is cancelled, not suspended',
    )
    isHeld = false
    const { output, spend } = await session.run('go')
    assert.equal(output, 'noted go 1, noted go 2')
    assert.deepEqual(notes, ['go 1', 'go 2', 'go 2'])
    assert.equal(model.calls, 3)
    assert.equal(spend.modelCalls, 5)
    assert.deepEqual(await toRuns(runtime), { 'boss/s': 'completed', 'boss/s/worker': 'completed' })
  })

  test('is recorded as cancelled when the run of a machine is, and what it had cost counts', async () => {
    const begun = Promise.withResolvers<void>()
    const { note } = noteTool((_, signal) => {
      begun.resolve()
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const worker = testAgent(scriptedModel(noteRounds(1)), { name: 'worker' }, [note])
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
    const runtime = await room.open(undefined, { machines: [boss.machine] })
    const run = await runtime.start(boss.machine, { id: 'b', input: { prompt: 'go' } })
    await begun.promise
    await run.cancel('enough')
    assert.deepEqual(await toRuns(runtime), { b: 'cancelled', 'b/worker': 'failed' })
    assert.equal(await statusOfTurn(runtime, /worker/), 'error')
    const { modelCalls } = await run.spend()
    assert.equal(modelCalls, 2)
  })

  for (const when of ['at once', 'when that has ended'])
    test(`goes on when its parent is aborted and tries again, and counts once: ${when}`, async () => {
      const begun = Promise.withResolvers<void>()
      let isHeld = true
      const { note, notes } = noteTool((text, signal) => {
        if (text !== 'go 2' || !isHeld) return
        begun.resolve()
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      })
      const model = scriptedModel(noteRounds(2))
      const worker = testAgent(model, { name: 'worker' }, [note])
      const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
      const runtime = await room.open(undefined, { machines: [boss.machine] })
      const run = await runtime.start(boss.machine, { id: 'b' })
      const ended = new Promise<void>((resolve) =>
        runtime.subscribe((event) => {
          if (event.type === 'call.settled' && event.runId === 'b' && event.kind === 'tool') resolve()
        }),
      )
      await run.send({ type: 'prompt', text: 'go' })
      await begun.promise
      await run.send({ type: 'abort' })
      isHeld = false
      if (when !== 'at once') await ended
      await run.send({ type: 'retry' })
      const { context } = await run.waitFor('ready')
      assert.equal(context.messages.at(-1)?.content, 'noted go 1, noted go 2')
      assert.deepEqual([notes, model.calls], [['go 1', 'go 2', 'go 2'], 3])
      assert.equal((await run.spend()).modelCalls, 5)
    })

  test('that a person cancels is a result that its parent is told of', async () => {
    const runtime = await room.open()
    const { note } = noteTool(() => forever)
    const worker = testAgent(scriptedModel(noteRounds(1)), { name: 'worker' }, [note])
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
    runtime.subscribe((event) => {
      if (event.type === 'call.started' && event.name === 'note') void runtime.get(event.runId).cancel()
    })
    const { output } = await runtime.durable(boss).run('go')
    assert.match(output, /^Tool `worker` failed: The turn was aborted/)
  })

  test('that fails is a result, and what it cost counts', async () => {
    const runtime = await room.open()
    const worker = testAgent(scriptedModel([{ toolCalls: [callNote('a')] }, { fault: { status: 400 } }]), { name: 'worker' }, [
      noteTool().note,
    ])
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
    const { output, spend } = await runtime.durable(boss).run('go')
    assert.match(output, /^Tool `worker` failed: /)
    assert.deepEqual([spend.modelCalls, spend.toolCalls], [3, 2])
  })

  test('is one of several at once, each with a run of its own, also with the same words', async () => {
    const runtime = await room.open()
    const worker = testAgent(scriptedModel(echo), { name: 'worker' })
    const calls = ['a', 'a', 'b'].map((prompt) => ({ name: 'worker', prompt }))
    const boss = testAgent(delegate(...calls), { name: 'boss' }, [worker.asTool({ description: '' })])
    const { output, spend } = await runtime.durable(boss).run('go')
    assert.equal(output, 'a! | a! | b!')
    assert.equal(spend.modelCalls, 5)
    const ids: string[] = []
    for await (const { id } of runtime.runs()) ids.push(id)
    assert.equal(ids.length, 4)
  })

  test('takes the input that it is given a schema for, and answers in the form of its profile', async () => {
    const runtime = await room.open()
    const worker = testAgent(
      scriptedModel((request) => JSON.stringify({ got: lastPrompt(request) })),
      { name: 'the.worker', output: z.object({ got: z.string() }) } as never, // `testAgent` is for agents that answer text
    )
    const asked = worker.asTool({ description: 'Works', input: z.object({ city: z.string() }) })
    assert.equal(asked.name, 'the_worker')
    const model = scriptedModel(({ messages }) => {
      const last = messages.at(-1)
      if (last?.role === 'tool')
        return last.isError ? { toolCalls: [{ name: 'the_worker', arguments: { city: 'Ulm' } }] } : last.content
      return { toolCalls: [{ name: 'the_worker', arguments: { town: 'Ulm' } }] }
    })
    const { output } = await runtime.durable(testAgent(model, { name: 'boss' }, [asked])).run('go')
    assert.deepEqual(JSON.parse(output), { got: '{"city":"Ulm"}' })
    assert.equal(model.calls, 3, 'arguments that do not fit are told to the model')
  })

  test('has only the steps that are left to its parent, and asks nobody for more of those', async () => {
    const runtime = await room.open()
    const model = scriptedModel(noteRounds(9))
    const worker = testAgent(model, { name: 'worker', onLimit: 'ask' }, [noteTool().note])
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss', limits: { steps: 4 } }, [
      worker.asTool({ description: '' }),
    ])
    await assert.rejects(runtime.durable(boss).session('s').run('go'), { code: 'LIMIT_REACHED' })
    assert.equal(model.calls, 3)
    assert.deepEqual(await readPending(runtime), [])
  })

  test('asks for more of its own limits', async () => {
    const runtime = await room.open()
    const worker = testAgent(scriptedModel(noteRounds(2)), { name: 'worker', onLimit: 'ask', limits: { steps: 1 } }, [
      noteTool().note,
    ])
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
    runtime.subscribe((event) => {
      if (event.type === 'question.asked') void runtime.get(event.runId).answer(event.key, { extend: { steps: 5 } })
    })
    assert.equal((await runtime.durable(boss).run('go')).output, 'noted go 1, noted go 2')
  })

  test('counts once against the limits of a flow, and in what that has cost', async () => {
    const runtime = await room.open()
    const worker = testAgent(scriptedModel(echo), { name: 'worker' })
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
    const other = testAgent(scriptedModel(echo), { name: 'other' })
    const flow = runtime.flow('both', async () => {
      await runtime.durable(boss).run('one')
      return (await runtime.durable(other).run('two')).output
    })
    assert.equal(await flow.run(undefined, { id: 'f', limits: { steps: 4 } }), 'two!')
    assert.equal((await runtime.get('f').spend()).modelCalls, 4)
    assert.equal(await runtime.delete('f'), true)
    assert.deepEqual(await toRuns(runtime), {})
  })

  test('is asked anew when its call is made again with other words', async () => {
    const directory = room.room.path()
    const live = async (text: string, isBroken: boolean) => {
      const model = scriptedModel(echo)
      const worker = testAgent(model, { name: 'worker' })
      const asking = scriptedModel((request) => {
        const last = request.messages.at(-1)
        if (last?.role === 'tool') return last.content
        return { toolCalls: [{ name: 'worker', arguments: { prompt: lastPrompt(request) } }] }
      })
      const boss = testAgent(asking, { name: 'boss' }, [worker.asTool({ description: '' })])
      const runtime = await room.open(directory)
      const flow = runtime.flow('twice', async () => {
        const { output: first } = await runtime.durable(boss).run(text)
        const { output: second } = await runtime.durable(boss).run(`${text} again`)
        if (isBroken) throw new Error('broken')
        return [first, second]
      })
      const said = await flow.run(undefined, { id: 'f' }).catch(({ message }: Error) => message)
      await runtime.close()
      return { said, calls: model.calls }
    }
    assert.deepEqual(await live('a', true), { said: 'broken', calls: 2 })
    assert.deepEqual(await live('b', false), { said: ['b!', 'b again!'], calls: 2 })
  })

  test('belongs to whoever executes its call: an agent without a runtime keeps its own', async () => {
    const runtime = await room.open()
    const worker = testAgent(scriptedModel(echo), { name: 'worker' })
    const plain = (): Agent =>
      testAgent(delegate({ name: 'worker', prompt: 'x' }, { name: 'worker', prompt: 'y' }), { name: 'plain' }, [
        worker.asTool({ description: '' }),
      ])
    const inner = tool({
      name: 'inner',
      description: '',
      input: z.object({ prompt: z.string() }),
      run: async ({ prompt }) => (await plain().run(prompt)).output,
    })
    const { output } = await runtime
      .durable(testAgent(delegate({ name: 'inner', prompt: 'go' }), { name: 'boss' }, [inner]))
      .run('go')
    assert.equal(output, 'x! | y!')
    assert.deepEqual(await toRuns(runtime), { 'boss/main': 'completed' })
  })

  test('has its answer when a person approved it while no process ran', async () => {
    const directory = room.room.path()
    const create = () => {
      const { note, notes } = noteTool()
      const model = scriptedModel(noteRounds(1))
      const worker = testAgent(model, { name: 'worker' }, [{ ...note, needsApproval: () => true }])
      const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
      return { boss, notes, model }
    }
    const one = await room.open(directory)
    const asked = new Promise<void>((resolve) => one.subscribe(({ type }) => type === 'question.asked' && resolve()))
    const cut = one.durable(create().boss).session('s').run('go')
    cut.catch(() => {})
    await asked
    await one.close()

    const two = await room.open(directory)
    const [question] = await readPending(two, { run: 'boss/s' })
    assert.match(question?.runId ?? '', /^boss\/s\/worker\./)
    await two.get(question?.runId ?? '').answer(question?.id ?? '', true)
    const { boss, notes, model } = create()
    assert.equal((await two.durable(boss).session('s').run('go')).output, 'noted go 1')
    assert.deepEqual([notes, model.calls], [['go 1'], 1])
  })

  test('that was cancelled while no process ran is a result, and waits for nobody', async () => {
    const directory = room.room.path()
    const create = () => {
      const { note, notes } = noteTool()
      const model = scriptedModel(noteRounds(1))
      const worker = testAgent(model, { name: 'worker' }, [{ ...note, needsApproval: () => true }])
      const calls = [
        { name: 'worker', prompt: 'a' },
        { name: 'worker', prompt: 'b' },
      ]
      const boss = testAgent(delegate(...calls), { name: 'boss' }, [worker.asTool({ description: '' })])
      return { boss, notes, model }
    }
    const one = await room.open(directory, { machines: [] })
    let asked = 0
    const both = new Promise<void>((resolve) =>
      one.subscribe(({ type }) => {
        if (type === 'question.asked' && ++asked === 2) resolve()
      }),
    )
    const cut = one.durable(create().boss).session('s').run('go')
    cut.catch(() => {})
    await both
    await one.close()

    const two = await room.open(directory)
    const [first, second] = await readPending(two)
    await two.get(first?.runId ?? '').cancel()
    assert.deepEqual(await readPending(two), [second])
    await two.get(second?.runId ?? '').answer(second?.id ?? '', true)
    const { boss, notes, model } = create()
    const { output, spend } = await two.durable(boss).session('s').run('go')
    assert.match(output, /Tool `worker` failed: The run `boss\/s\/worker\.[\w-]{16}` was cancelled/)
    assert.deepEqual([notes.length, model.calls, spend.modelCalls], [1, 1, 5])
    await two.close()
  })

  test('has nothing left that waits when the run that it works for is cancelled while no process executes that', async () => {
    const directory = room.room.path()
    const worker = testAgent(scriptedModel(noteRounds(1)), { name: 'worker' }, [
      { ...noteTool().note, needsApproval: () => true },
    ])
    const lead = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'lead' }, [worker.asTool({ description: '' })])
    const boss = testAgent(delegate({ name: 'lead', prompt: 'go' }), { name: 'boss' }, [lead.asTool({ description: '' })])
    const one = await room.open(directory, { machines: [boss.machine] })
    let questions = 0
    const asked = new Promise<void>((resolve) =>
      one.subscribe(({ type }) => {
        if (type === 'question.asked' && ++questions === 3) resolve()
      }),
    )
    await one.start(boss.machine, { id: 'm', input: { prompt: 'go' } })
    const cut = one.durable(boss).session('s').run('go')
    cut.catch(() => {})
    const flow = one.flow('f', async () => (await one.durable(boss).run('go')).output)
    const cutFlow = flow.run(undefined, { id: 'f' })
    cutFlow.catch(() => {})
    await asked
    await one.close()

    const two = await room.open(directory, { machines: [boss.machine], autoResume: false })
    assert.equal((await readPending(two)).length, 3)
    for (const id of ['m', 'boss/s', 'f']) await two.get(id).cancel()
    assert.deepEqual(await readPending(two), [])
    assert.deepEqual([...new Set(Object.values(await toRuns(two)))], ['cancelled'])
    await two.close()
  })

  test('goes with the run of a machine that is deleted while it works', async () => {
    const begun = Promise.withResolvers<void>()
    const { note } = noteTool(() => {
      begun.resolve()
      return forever
    })
    const worker = testAgent(scriptedModel(noteRounds(1)), { name: 'worker' }, [note])
    const boss = testAgent(delegate({ name: 'worker', prompt: 'go' }), { name: 'boss' }, [worker.asTool({ description: '' })])
    const runtime = await room.open(undefined, { machines: [boss.machine] })
    await runtime.start(boss.machine, { id: 'b', input: { prompt: 'go' } })
    await begun.promise
    assert.equal(await runtime.delete('b'), true)
    await runtime.close()
    const later = await room.open(runtime.directory)
    assert.deepEqual(await toRuns(later), {})
  })
})

describe('the machine of an agent', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('has agents of its own that work for it each time that it is invoked, also under one name and over restarts', async () => {
    const directory = room.room.path()
    const create = (hangAt: number) => {
      const hung = Promise.withResolvers<void>()
      const { note, notes } = noteTool()
      const worker = testAgent(scriptedModel(noteRounds(1)), { name: 'worker' }, [note])
      let seen = 0
      const model = scriptedModel(({ messages }): ScriptedAnswer => {
        const results = messages.filter(({ role }) => role === 'tool').length
        if (results === 1 && ++seen === hangAt) {
          hung.resolve()
          return { fault: 'hang' }
        }
        if (results === 0) return { toolCalls: [callNote('first')] }
        return results === 1 ? { toolCalls: [{ name: 'worker', arguments: { prompt: 'go' }, id: 'same' }] } : { text: 'done' }
      })
      const boss = testAgent(model, { name: 'boss' }, [note, worker.asTool({ description: '' })])
      const machine = setup({
        types: { context: {} as { readonly rounds: number } },
        actors: { boss: boss.machine },
      }).createMachine({
        id: 'loop',
        context: { rounds: 0 },
        initial: 'asking',
        states: {
          asking: {
            type: 'parallel',
            states: Object.fromEntries(
              ['one', 'two'].map((id) => [
                id,
                {
                  initial: 'busy',
                  states: {
                    busy: { invoke: { id, src: 'boss' as const, input: { prompt: id }, onDone: 'done' } },
                    done: { type: 'final' as const },
                  },
                },
              ]),
            ),
            onDone: 'again',
          },
          again: {
            entry: assign({ rounds: ({ context }) => context.rounds + 1 }),
            always: [{ guard: ({ context }) => context.rounds < 3, target: 'asking' }, 'end'],
          },
          end: { type: 'final' },
        },
      })
      return { machine, notes, hung: hung.promise }
    }
    const all: string[] = []
    // Each life comes to the second request of its agents again, and dies at a later one.
    for (const hangAt of [1, 3, 3, 0]) {
      const { machine, notes, hung } = create(hangAt)
      const runtime = await room.open(directory, { machines: [machine] })
      const run = await runtime.start(machine, { id: 'l' })
      await (hangAt === 0 ? run.done() : hung)
      if (hangAt > 0) await run.snapshot()
      await runtime.close()
      all.push(...notes)
    }
    const later = await room.open(directory)
    const children: string[] = []
    for await (const { id, status } of later.runs()) if (id.startsWith('l/')) children.push(status)
    assert.deepEqual(children, Array(6).fill('completed'), 'two in each of three rounds')
    const keys: string[] = []
    for await (const { key } of later.get('l').steps()) if (key.endsWith('/same')) keys.push(key)
    assert.equal(keys.length, 6)
    assert.ok(all.filter((text) => text === 'go 1').length >= 6)
  })

  test('has the limits of its profile wherever it runs, and its run tells what it has cost', async () => {
    const agent = testAgent(scriptedModel(noteRounds(9)), { name: 'limited', limits: { steps: 2 } }, [noteTool().note])
    const machine = setup({
      types: { context: {} as { readonly code: string }, output: {} as string },
      actors: { limited: agent.machine },
    }).createMachine({
      id: 'parent',
      context: { code: '' },
      initial: 'asking',
      states: {
        asking: {
          invoke: {
            src: 'limited',
            id: 'child',
            input: { prompt: 'go' },
            onDone: 'done',
            onError: {
              target: 'done',
              actions: assign({ code: ({ event }) => (isPerdureError(event.error) ? event.error.code : '') }),
            },
          },
        },
        done: { type: 'final' },
      },
      output: ({ context }) => context.code,
    })
    const runtime = await room.open(undefined, { machines: [agent.machine, machine] })
    const run = await runtime.start(machine, { id: 'p' })
    assert.equal(await run.done(), 'LIMIT_REACHED')
    const { modelCalls, toolCalls } = await run.spend()
    assert.deepEqual([modelCalls, toolCalls], [2, 2])
    const own = await runtime.start(agent.machine, { id: 'own', input: { prompt: 'go' } })
    await assert.rejects(own.done(), { code: 'LIMIT_REACHED' })
    const given = await runtime.start(agent.machine, { id: 'given', input: { prompt: 'go', limits: { steps: 1 } } })
    await assert.rejects(given.done(), { code: 'LIMIT_REACHED' })
    assert.equal((await given.spend()).modelCalls, 1)
    await assert.rejects(runtime.get('nobody').spend(), { code: 'RUN_NOT_FOUND' })
  })
})
