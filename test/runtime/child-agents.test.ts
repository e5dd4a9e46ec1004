import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Model, type Tool, tool } from 'perdure'
import { type ScriptedAnswer, scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { createMachineRoom, type MachineRoom } from '../support/machine-room.ts'
import { createRuntimeRoom, lastPrompt, noteRounds, noteTool, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

const usage = { inputTokens: 8, outputTokens: 2, cachedInputTokens: 0, reasoningTokens: 0 }

describe('an agent that is a tool of another', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** A boss that has `worker` do two notes, and says what came of it. */
  const build = (until: (text: string) => unknown = () => {}, parent = {}) => {
    const { note, notes } = noteTool(until)
    const priced = noteRounds(2)
    const childModel = scriptedModel((request) => ({ ...priced(request), usage, costUsd: 1 }))
    const worker = testAgent(childModel, { name: 'worker' }, [note])
    const tool = worker.asTool({ description: 'Takes notes' })
    const model = scriptedModel((request) => {
      const last = request.messages.at(-1)
      if (last?.role === 'tool') return { text: `worker: ${last.content}`, usage, costUsd: 1 }
      return { toolCalls: [{ name: 'worker', arguments: { prompt: lastPrompt(request) } }], usage, costUsd: 1 }
    })
    return { boss: testAgent(model, { name: 'boss', ...parent }, [tool]), model, childModel, notes }
  }

  test('works without a runtime, and its cost is that of the turn', async () => {
    const { boss } = build()
    const { output, spend } = await boss.run('go')
    assert.equal(output, 'worker: noted go 1, noted go 2')
    assert.deepEqual([spend.modelCalls, spend.toolCalls, spend.costUsd], [5, 3, 5])
  })

  test('has a run of its own below that of its parent, which goes with it', async () => {
    const runtime = await room.open()
    const { boss } = build()
    const { output, spend } = await runtime.durable(boss).session('s').run('go')
    assert.equal(output, 'worker: noted go 1, noted go 2')
    assert.deepEqual([spend.modelCalls, spend.toolCalls, spend.costUsd], [5, 3, 5])
    const ids: string[] = []
    for await (const { id } of runtime.runs()) ids.push(id.replace(/[^.]{16}$/, '…'))
    assert.deepEqual(ids, ['boss/s', 'boss/s/worker.…'])
    await runtime.close()
    const next = await room.open(runtime.directory)
    assert.equal(await next.delete('boss/s'), true)
    for await (const { id } of next.runs()) assert.fail(id)
  })

  test('is taken up where it was when the process died, and what had settled is not done again', async () => {
    const directory = room.room.path()
    const hung = Promise.withResolvers<void>()
    const first = build((text) => {
      if (text !== 'go 2') return
      hung.resolve()
      return new Promise(() => {})
    })
    const one = await room.open(directory)
    const cut = one.durable(first.boss).session('s').run('go')
    cut.catch(() => {})
    await hung.promise
    await one.close()
    await assert.rejects(cut, { code: 'ABORTED' })

    const second = build()
    const two = await room.open(directory)
    const { output, spend } = await two.durable(second.boss).session('s').run('go')
    assert.equal(output, 'worker: noted go 1, noted go 2')
    assert.deepEqual([second.model.calls, second.childModel.calls, second.notes], [1, 1, ['go 2']])
    assert.deepEqual([spend.modelCalls, spend.toolCalls, spend.costUsd], [5, 3, 5])
    await two.close()
  })

  test('that had finished is returned from the store when its parent was cut off', async () => {
    const directory = room.room.path()
    const first = build()
    const hung = Promise.withResolvers<void>()
    const boss = testAgent(
      scriptedModel((request) => {
        if (request.messages.at(-1)?.role !== 'tool') return { toolCalls: [{ name: 'worker', arguments: { prompt: 'go' } }] }
        hung.resolve()
        return { text: 'never', fault: 'hang' }
      }),
      { name: 'boss' },
      first.boss.tools,
    )
    const one = await room.open(directory)
    const cut = one.durable(boss).session('s').run('go')
    cut.catch(() => {})
    await hung.promise
    await one.close()
    await assert.rejects(cut)

    const second = build()
    const two = await room.open(directory)
    assert.equal((await two.durable(second.boss).session('s').run('go')).output, 'worker: noted go 1, noted go 2')
    assert.deepEqual([second.childModel.calls, second.notes], [0, []])
    await two.close()
  })

  test('spends what is left to its parent, and no more', async () => {
    const runtime = await room.open()
    const { boss, model, childModel } = build(() => {}, { limits: { costUsd: 3 } })
    await assert.rejects(runtime.durable(boss).session('s').run('go'), { code: 'LIMIT_REACHED' })
    assert.deepEqual([model.calls, childModel.calls], [1, 2])
  })

  test('waits for an approval that is listed below its parent', async () => {
    const runtime = await room.open()
    const { note } = noteTool()
    const worker = testAgent(scriptedModel(noteRounds(1)), { name: 'worker' }, [{ ...note, needsApproval: () => true }])
    const model = scriptedModel((request) =>
      request.messages.at(-1)?.role === 'tool' ? 'done' : { toolCalls: [{ name: 'worker', arguments: { prompt: 'go' } }] },
    )
    const boss = testAgent(model, { name: 'boss' }, [worker.asTool({ description: 'Takes notes' })])
    runtime.subscribe(async (event) => {
      if (event.type !== 'question.asked') return
      const pending: string[] = []
      for await (const { runId } of runtime.pending({ run: 'boss/s' })) pending.push(runId)
      assert.deepEqual(pending, [event.runId])
      assert.match(event.runId, /^boss\/s\/worker\./)
      await runtime.get(event.runId).answer(event.key, true)
    })
    assert.equal((await runtime.durable(boss).session('s').run('go')).output, 'done')
  })

  test('is told to be too deep where it would call itself for ever', async () => {
    const model: Model = scriptedModel(({ messages }): ScriptedAnswer => {
      const last = messages.at(-1)
      return last?.role === 'tool' ? { text: last.content } : { toolCalls: [{ name: 'me', arguments: { prompt: 'go' } }] }
    })
    // Its tool is itself: found when it is called, for it is not there when it is built.
    const inner: { tool?: Tool } = {}
    const outer: Tool = {
      ...tool({ name: 'me', description: 'Me', input: z.object({ prompt: z.string() }), effect: 'idempotent', run: () => '' }),
      execute: async (...call) => inner.tool?.execute(...call) ?? { content: '', isError: true },
    }
    const me = testAgent(model, { name: 'me' }, [outer])
    inner.tool = me.asTool({ description: 'Me' })
    const runtime = await room.open()
    assert.match((await runtime.durable(me).run('go')).output, /more than 16 deep/)
  })
})

describe('a machine that invokes agents', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  const build = (hang = false) => {
    const model = scriptedModel((request) => {
      const prompt = lastPrompt(request)
      return hang && prompt === 'two' ? { text: 'never', fault: 'hang' } : { text: `${prompt}!`, usage, costUsd: 1 }
    })
    const agent = testAgent(model, { name: 'thinker' })
    const machine = setup({
      types: { context: {} as { readonly said: readonly string[] }, output: {} as readonly string[] },
      actors: { thinker: agent.machine },
    }).createMachine({
      id: 'pair',
      context: { said: [] },
      initial: 'first',
      states: {
        first: {
          invoke: {
            id: 'one',
            src: 'thinker',
            input: { prompt: 'one' },
            onDone: { target: 'both', actions: assign({ said: ({ context, event }) => [...context.said, event.output.output] }) },
          },
        },
        both: {
          type: 'parallel',
          states: Object.fromEntries(
            ['two', 'three'].map((prompt) => [
              prompt,
              {
                initial: 'asking',
                states: {
                  asking: {
                    invoke: {
                      id: prompt,
                      src: 'thinker' as const,
                      input: { prompt },
                      onDone: {
                        target: 'done',
                        actions: assign({ said: ({ context, event }) => [...context.said, event.output.output] }),
                      },
                    },
                  },
                  done: { type: 'final' as const },
                },
              },
            ]),
          ),
          onDone: 'end',
        },
        end: { type: 'final' },
      },
      output: ({ context }) => context.said.toSorted(),
    })
    return { machine, model }
  }

  test('has one after the other and several at once, and goes on after a restart without asking again', async () => {
    const directory = room.directory()
    const first = build(true)
    const one = await room.open(directory, [first.machine])
    const run = await one.start(first.machine, { id: 'pair' })
    await run.waitFor(({ context }) => context.said.length === 2)
    await one.close()

    const second = build()
    const two = await room.open(directory, [second.machine])
    assert.deepEqual(await two.get<typeof second.machine>('pair').done(), ['one!', 'three!', 'two!'])
    assert.equal(second.model.calls, 1)
    await two.close()
  })
})
