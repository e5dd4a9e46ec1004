/** Calls that were ended before they had come to their end: what they come to all the same, and what they cost (P2, P3, P12). */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { fromStep, isPerdureError, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { createHookedStore } from '../support/hooked-store.ts'
import { createRuntimeRoom, lastPrompt, noteRounds, noteTool, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

const usage = { inputTokens: 80, outputTokens: 20, cachedInputTokens: 0, reasoningTokens: 0 }

describe('a call that was ended', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  for (const where of ['session', 'flow'] as const)
    for (const effect of ['external', 'idempotent'] as const)
      test(`and succeeds later is recorded, told and not executed again (${effect}, ${where})`, async () => {
        const runtime = await room.open()
        const began = Promise.withResolvers<void>()
        const end = Promise.withResolvers<void>()
        let sent = 0
        const send = tool({
          name: 'send',
          description: 'Sends it',
          effect,
          input: z.object({}),
          async run() {
            began.resolve()
            await end.promise
            return `sent ${++sent}`
          },
        })
        const model = scriptedModel(({ messages }) => {
          const last = messages.at(-1)
          return last?.role === 'tool' ? last.content : { toolCalls: [{ name: 'send' }] }
        })
        const agent = runtime.durable(testAgent(model, {}, [send]))
        const abort = new AbortController()
        const flow = runtime.flow('flow', async () => {
          const options = abort.signal.aborted ? {} : { signal: abort.signal }
          return (await agent.run('go', options)).output
        })
        const run = async (): Promise<string> => {
          if (where === 'flow') return flow.run(undefined, { id: 'f' })
          const options = abort.signal.aborted ? {} : { signal: abort.signal }
          return (await agent.session('s').run('go', options)).output
        }
        const cut = run().catch((error: unknown) => error)
        await began.promise
        abort.abort()
        setTimeout(end.resolve, 30)
        assert.ok(isPerdureError(await cut, 'ABORTED'))
        await end.promise
        assert.equal(await run(), 'sent 1')
        assert.equal(sent, 1)
        const steps = []
        for await (const { kind, status } of runtime.get(where === 'flow' ? 'f/default' : 'default/s').steps())
          if (kind === 'tool') steps.push(status)
        assert.deepEqual(steps, ['ok'])
        await runtime.close()
      })

  test('while its outcome was asked for is recorded with what the outside world told', async () => {
    const counts = { run: 0, recover: 0 }
    const began = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const told = Promise.withResolvers<void>()
    const pay = tool({
      name: 'pay',
      description: 'Pays',
      input: z.object({}),
      run() {
        counts.run++
        began.resolve()
        return new Promise<never>(() => {})
      },
      async recover() {
        counts.recover++
        asked.resolve()
        await told.promise
        return { status: 'settled', value: 'paid' }
      },
    })
    const model = scriptedModel(({ messages }) => {
      const last = messages.at(-1)
      return last?.role === 'tool' ? last.content : { toolCalls: [{ name: 'pay' }] }
    })
    const first = await room.open()
    const open = (runtime: typeof first) => runtime.durable(testAgent(model, {}, [pay])).session('s')
    open(first)
      .run('go')
      .catch(() => {})
    await began.promise
    await first.close()
    const runtime = await room.open(first.directory)
    const abort = new AbortController()
    const cut = open(runtime)
      .run('go', { signal: abort.signal })
      .catch((error: unknown) => error)
    await asked.promise
    abort.abort()
    setTimeout(told.resolve, 30)
    assert.ok(isPerdureError(await cut, 'ABORTED'))
    await told.promise
    await delay(30)
    const steps = []
    for await (const { kind, status, resolution } of runtime.get('default/s').steps())
      if (kind === 'tool') steps.push(`${status} ${resolution}`)
    assert.deepEqual(steps, ['ok recovered'])
    assert.equal((await open(runtime).run('go')).output, 'paid')
    assert.deepEqual(counts, { run: 1, recover: 1 })
    await runtime.close()
  })

  test('does not make whoever ended it wait for it, and a runtime that closes does not either', async () => {
    const runtime = await room.open()
    const began = Promise.withResolvers<void>()
    const deaf = tool({
      name: 'deaf',
      description: 'Listens to nobody',
      input: z.object({}),
      run() {
        began.resolve()
        return new Promise<never>(() => {})
      },
    })
    const model = scriptedModel(() => ({ toolCalls: [{ name: 'deaf' }] }))
    const abort = new AbortController()
    const cut = runtime
      .durable(testAgent(model, {}, [deaf]))
      .session('s')
      .run('go', { signal: abort.signal })
    await began.promise
    abort.abort()
    const late = delay(2_000, 'late', { ref: false })
    assert.ok(isPerdureError(await Promise.race([cut.catch((error: unknown) => error), late]), 'ABORTED'))
    assert.notEqual(await Promise.race([runtime.close(), late]), 'late')
  })

  test('by an agent that works for it counts against the limit of the run', async () => {
    const runtime = await room.open()
    const began: PromiseWithResolvers<void>[] = []
    const { note } = noteTool(async (text, signal) => {
      if (!text.endsWith('2')) return
      began.at(-1)?.resolve()
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('ended'))))
    })
    const rounds = noteRounds(2)
    const worker = testAgent(
      scriptedModel((request) => ({ ...rounds(request), usage, costUsd: 1 })),
      { name: 'worker' },
      [note],
    )
    const model = scriptedModel((request) => ({
      toolCalls: [{ name: 'worker', arguments: { prompt: lastPrompt(request) } }],
      usage,
      costUsd: 1,
    }))
    const boss = testAgent(model, { name: 'boss', runLimits: { tokens: 600 } }, [worker.asTool({ description: 'Works' })])
    const session = runtime.durable(boss).session('s')
    const codes: unknown[] = []
    for (const turn of [1, 2, 3]) {
      began.push(Promise.withResolvers())
      const abort = new AbortController()
      const cut = session.run(`turn ${turn}`, { signal: abort.signal }).catch((error: unknown) => error)
      await Promise.race([began.at(-1)?.promise, cut])
      abort.abort()
      const error = await cut
      codes.push(isPerdureError(error) ? error.code : error)
    }
    // 100 tokens for each request: one of the boss and two of the worker in each of the first two turns.
    assert.deepEqual(codes, ['ABORTED', 'ABORTED', 'LIMIT_REACHED'])
    assert.equal((await runtime.get('boss/s').spend()).modelCalls, 6)
    await runtime.close()
  })

  test('by a crash, with the agent that worked for it, is in what the run has cost, whatever ends it', async () => {
    const build = (hang: boolean, hung = () => {}) => {
      const { note } = noteTool(async (text) => {
        if (!hang || !text.endsWith('2')) return
        hung()
        await new Promise(() => {})
      })
      const rounds = noteRounds(2)
      const worker = testAgent(
        scriptedModel((request) => ({ ...rounds(request), usage, costUsd: 1 })),
        { name: 'worker' },
        [note],
      )
      const model = scriptedModel(({ messages }) => {
        const last = messages.at(-1)
        const text =
          last?.role === 'tool' ? { text: last.content } : { toolCalls: [{ name: 'worker', arguments: { prompt: 'go' } }] }
        return { ...text, usage, costUsd: 1 }
      })
      return testAgent(model, { name: 'boss' }, [worker.asTool({ description: 'Works' })])
    }
    for (const how of ['cancelled', 'settled by hand', 'taken up'] as const) {
      const store = await createHookedStore()
      const hooks: { write?: () => Promise<void> } = {}
      const first = store.open([], hooks)
      const hung = Promise.withResolvers<void>()
      const flow = (runtime: ReturnType<typeof store.open>, agent: ReturnType<typeof build>) =>
        runtime.flow('flow', async () => (await runtime.durable(agent).run('go')).output)
      flow(first, build(true, hung.resolve))
        .run(undefined, { id: 'f' })
        .catch(() => {})
      await hung.promise
      await delay(20)
      hooks.write = () => new Promise(() => {}) // the process is dead
      const second = store.open([], {}, false)
      const run = second.get('f')
      if (how === 'cancelled') await run.cancel()
      else {
        const conversation = second.get('f/boss')
        for await (const { kind, key } of conversation.steps())
          if (kind === 'tool' && how === 'settled by hand') await conversation.settle(key, { result: 'by hand' })
        await flow(second, build(false)).run(undefined, { id: 'f' })
      }
      // Before: one request of the boss, two of the worker. After: the worker's last, and the boss's answer.
      const { costUsd, modelCalls } = await run.spend()
      const expected = { cancelled: 3, 'settled by hand': 4, 'taken up': 5 }[how]
      assert.deepEqual([costUsd, modelCalls], [expected, expected], how)
    }
  })

  test('while it was about to be executed again is in doubt still', async () => {
    const store = await createHookedStore()
    const executed: number[] = []
    const machine = setup({
      types: { context: {} as { readonly n: number }, events: {} as { type: 'leave' } },
      actors: {
        work: fromStep(
          async ({ attempt }) => {
            executed.push(attempt)
            await new Promise(() => {})
          },
          { onDoubt: 'retry' },
        ),
      },
    }).createMachine({
      id: 'left',
      context: { n: 0 },
      initial: 'working',
      states: {
        working: { invoke: { id: 'work', src: 'work' }, on: { leave: 'left' } },
        left: { entry: assign({ n: ({ context }) => context.n + 1 }) },
      },
    })
    const hooks: { write?: () => Promise<void> } = {}
    const first = store.open([machine], hooks)
    await first.start(machine, { id: 'run' })
    while (executed.length === 0) await delay(1)
    hooks.write = () => new Promise(() => {})
    // The intent of the second attempt is held until the state has been left.
    let left: Promise<void> | undefined
    const second = store.open([machine], {
      async write(operations) {
        if (left !== undefined || !operations.some(({ key }) => key.includes('work'))) return
        left = second.get<typeof machine>('run').send({ type: 'leave' })
        await delay(20)
      },
    })
    await second.resume()
    while (left === undefined) await delay(1)
    await left
    const statuses: string[] = []
    for await (const { kind, status } of second.get('run').steps()) if (kind === 'step') statuses.push(status)
    assert.deepEqual(statuses, ['inDoubt'])
    assert.deepEqual(executed, [1])
  })
})

describe('a step of a flow', () => {
  const open = async () => (await createHookedStore()).open([])

  test('has all of its attempts again when it is begun anew', async () => {
    const runtime = await open()
    let failures = 3
    let executed = 0
    const flow = runtime.flow('flow', (_: undefined, { step }) =>
      step(
        'call',
        () => {
          executed++
          if (failures-- > 0) throw new Error('503')
          return 'ok'
        },
        { retry: { maxAttempts: 3, delayMs: 1 } },
      ),
    )
    await assert.rejects(flow.run(undefined, { id: 'run' }), /503/)
    failures = 1
    assert.equal(await flow.run(undefined, { id: 'run' }), 'ok')
    failures = 2
    assert.equal(await flow.run(undefined, { id: 'run', cache: false }), 'ok')
    assert.equal(executed, 3 + 2 + 3)
  })

  test('throws the same in every life: the class of the language, without foreign properties', async () => {
    const store = await createHookedStore()
    const fail = () => Object.assign(new RangeError('too far'), { request: { apiKey: 'secret' } })
    const live = async (hooks = {}) => {
      const seen: unknown[] = []
      const flow = store.open([], hooks).flow('flow', async (_: undefined, { step }) => {
        await step('fails', () => {
          throw fail()
        }).catch((error: Error) => seen.push([error instanceof RangeError, error.message, Object.keys(error)]))
        return step('next', () => 'ok')
      })
      return { seen, output: flow.run(undefined, { id: 'run' }) }
    }
    let writes = 0
    const first = await live({ write: () => (++writes > 4 ? new Promise(() => {}) : undefined) })
    while (writes <= 4) await delay(1)
    const second = await live()
    assert.equal(await second.output, 'ok')
    assert.deepEqual(first.seen, [[true, 'too far', []]])
    assert.deepEqual(second.seen, first.seen)
  })

  test('that a flow handed to `all` is heard of, also when `all` is refused', async () => {
    const runtime = await open()
    const unhandled: unknown[] = []
    const onUnhandled = (error: unknown): void => void unhandled.push(error)
    process.on('unhandledRejection', onUnhandled)
    const flow = runtime.flow('flow', async (_: undefined, { all, step }) => {
      await delay(20) // cancelled meanwhile
      const work = async (name: string): Promise<string> => step(name, () => name)
      return all([work('a'), work('b')])
    })
    const result = flow.run(undefined, { id: 'run' }).catch((error: unknown) => error)
    await delay(5)
    await runtime.get('run').cancel()
    assert.ok(isPerdureError(await result, 'RUN_CANCELLED'))
    await delay(40)
    process.off('unhandledRejection', onUnhandled)
    assert.deepEqual(unhandled, [])
  })
})
