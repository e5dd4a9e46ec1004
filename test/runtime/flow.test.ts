/** What a flow promises: what finished comes from the store, what had not executes, and a run is found again. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FlowContext, isPerdureError } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import {
  createRuntimeRoom,
  echo,
  lastPrompt,
  noteRounds,
  noteTool,
  type RuntimeRoom,
  testAgent,
  toOutline,
  toStory,
} from '../support/runtime-room.ts'

describe('a flow', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('returns what finished from the store after a failed attempt, and executes the first that had not', async () => {
    const directory = room.room.path()
    const run = async (fails: boolean) => {
      const runtime = await room.open(directory)
      const model = scriptedModel(echo)
      const agent = runtime.durable(testAgent(model))
      const flow = runtime.flow('flow', async (input: string) => {
        const first = await agent.run(input)
        if (fails) throw new Error('on purpose')
        return [first.output, first.reused, (await agent.run('b')).output]
      })
      const result = await flow.run('a').catch((error: unknown) => (error instanceof Error ? error.message : ''))
      await runtime.close()
      return { result, calls: model.calls, story: toStory(runtime.events) }
    }
    assert.deepEqual(await run(true), {
      result: 'on purpose',
      calls: 1,
      story: ['run.started', 'checkpoint.started default (new)', 'checkpoint.finished default', 'run.failed'],
    })
    assert.deepEqual(await run(false), {
      result: ['a!', true, 'b!'],
      calls: 1,
      story: [
        'run.started',
        'checkpoint.reused default',
        'checkpoint.started default_2 (new)',
        'checkpoint.finished default_2',
        'run.completed',
      ],
    })
    assert.deepEqual(await run(false), { result: ['a!', true, 'b!'], calls: 0, story: ['run.reused'] })
  })

  test('receives what a completed run had returned without its function being called', async () => {
    const directory = room.room.path()
    const result = { when: new Date(5), map: new Map([['a', 1n]]), nothing: undefined, text: '\ud800' }
    const first = await room.open(directory)
    await first.flow('flow', async () => result).run('x')
    await first.close()
    const second = await room.open(directory)
    const flow = second.flow('flow', async (): Promise<typeof result> => assert.fail('called'))
    assert.deepEqual(await flow.run('x'), result)
    await second.close()
  })

  test('holds an error that it had caught after a death, and tries it again after a failed attempt', async () => {
    const directory = room.room.path()
    const run = async (refuses: boolean, end: 'dies' | 'fails' | 'completes') => {
      const runtime = await room.open(directory)
      const model = scriptedModel(() => (refuses ? { fault: 'refusal' } : 'fine'))
      const agent = runtime.durable(testAgent(model))
      const dead = Promise.withResolvers<void>()
      const flow = runtime.flow('flow', async (_input: undefined, { step }: FlowContext) => {
        const turn = await agent.run('a').then(
          ({ output }) => output,
          (error: unknown) => (isPerdureError(error) ? error.code : assert.fail(String(error))),
        )
        const stepped = await step('step', () => {
          if (refuses) throw new RangeError('no')
          return 'fine'
        }).catch((error: unknown) => (error instanceof Error ? `${error.name} ${error.message}` : ''))
        dead.resolve()
        if (end === 'dies') await new Promise(() => {})
        if (end === 'fails') throw new Error('on purpose')
        return [turn, stepped]
      })
      const result = flow.run(undefined).catch(() => undefined)
      await dead.promise
      if (end === 'dies') await runtime.close()
      const output = await result
      await runtime.close()
      return { output, outline: toOutline(runtime.events), calls: model.calls }
    }
    assert.deepEqual(await run(true, 'dies'), { output: undefined, outline: ['default new', 'step new'], calls: 1 })
    const held = await run(false, 'fails')
    assert.deepEqual(held, { output: undefined, outline: ['default reused', 'step reused'], calls: 0 })
    assert.deepEqual(await run(false, 'completes'), {
      output: ['fine', 'fine'],
      outline: ['default retried', 'step retried'],
      calls: 1,
    })
  })

  test('an error that it held is the error that it was', async () => {
    const directory = room.room.path()
    const errors: unknown[] = []
    for (const last of [false, true]) {
      const runtime = await room.open(directory)
      const agent = runtime.durable(testAgent(scriptedModel([{ fault: 'refusal' }])))
      const caught = Promise.withResolvers<void>()
      const flow = runtime.flow('flow', async () => {
        await agent.run('a').catch((error: unknown) => errors.push(error))
        caught.resolve()
        if (!last) await new Promise(() => {})
      })
      const run = flow.run(undefined)
      await Promise.all([caught.promise.then(() => runtime.close()), last ? run : assert.rejects(run)])
    }
    const [first, second] = errors
    assert.ok(isPerdureError(first, 'MODEL_REFUSED') && isPerdureError(second, 'MODEL_REFUSED'))
    assert.deepEqual(second.toJSON(), first.toJSON())
  })

  test('runs agents at once, and each has its own conversation and names', async () => {
    const runtime = await room.open()
    const gate = Promise.withResolvers<void>()
    let asked = 0
    const model = scriptedModel((request) => {
      asked++
      if (asked === 3) gate.resolve()
      return { text: `${request.systemPrompt} ${request.messages.length}`, until: gate.promise }
    })
    const agents = ['a', 'b', 'c'].map((name) => runtime.durable(testAgent(model, { name, systemPrompt: name })))
    const flow = runtime.flow('flow', async () => {
      await Promise.all(agents.map((agent) => agent.run('at once')))
      const second = await Promise.all(agents.map((agent) => agent.run('again')))
      return second.map(({ output, checkpoint, turn }) => [output, checkpoint, turn])
    })
    assert.deepEqual(await flow.run(undefined), [
      ['a 3', 'a_2', 2],
      ['b 3', 'b_2', 2],
      ['c 3', 'c_2', 2],
    ])
    await runtime.close()
  })

  test('lets a second turn of one agent wait for the first', async () => {
    const runtime = await room.open()
    const model = scriptedModel(({ messages }) => messages.map(({ content }) => content).join(' '))
    const agent = runtime.durable(testAgent(model))
    const flow = runtime.flow('flow', async () => {
      const [a, b] = await Promise.all([agent.run('a'), agent.run('b')])
      return [a.output, a.checkpoint, b.output, b.checkpoint]
    })
    assert.deepEqual(await flow.run(undefined), ['a', 'default', 'a a b', 'default_2'])
    await runtime.close()
  })

  test('that is asked for twice at once is one run', async () => {
    const runtime = await room.open()
    const model = scriptedModel(echo)
    const agent = runtime.durable(testAgent(model))
    let runs = 0
    const flow = runtime.flow('flow', async (input: { a: number; b: number }) => {
      runs++
      return (await agent.run(`${input.a}`)).output
    })
    const both = [flow.run({ a: 1, b: 2 }), flow.run({ b: 2, a: 1 })]
    assert.deepEqual(await Promise.all(both), ['1!', '1!'])
    assert.deepEqual([runs, model.calls], [1, 1])
    await runtime.close()
  })

  test('finds its run by its input, whatever it is made of', async () => {
    const runtime = await room.open()
    let runs = 0
    const flow = runtime.flow('flow', async (_input: unknown, { runId }) => {
      runs++
      return runId
    })
    const inputs = [
      undefined,
      null,
      0,
      '0',
      1n,
      '1n',
      Number.NaN,
      Number.POSITIVE_INFINITY,
      {},
      [],
      [1, 2],
      new Uint8Array([1, 2]),
      new Uint16Array([1, 2]),
      new Uint8Array([1, 2]).buffer,
      new Uint8Array([1, 3]).buffer,
      /a/,
      /a/g,
      new Date(5),
      new Date(5).toJSON(),
      new Map([['a', 1]]),
      new Map([['a', 2]]),
      new Set(['a', 1]),
      { a: 1 },
      { a: '1' },
      { limit: Number.POSITIVE_INFINITY },
      { limit: null },
      [undefined],
      [null],
      ['a,b'],
      ['a', 'b'],
    ]
    const ids: string[] = []
    for (const input of inputs) ids.push(await flow.run(input))
    assert.equal(new Set(ids).size, inputs.length, ids.filter((id, index) => ids.indexOf(id) !== index).join())
    for (const [index, input] of inputs.entries()) assert.equal(await flow.run(input), ids[index])
    assert.equal(runs, inputs.length)
    const one = { b: { d: 1, c: [new Map([['k', 1n]])] }, a: new Date(7), e: undefined }
    const same = { a: new Date(7), b: { c: [new Map([['k', 1n]])], d: 1 } }
    assert.equal(await flow.run(one), await flow.run(same))
    await runtime.close()
  })

  test('refuses an id that is another run', async () => {
    const directory = room.room.path()
    const first = await room.open(directory)
    const agent = first.durable(testAgent(scriptedModel(echo)))
    await agent.session('x').run('a')
    const one = first.flow('one', async (input: number) => input)
    const two = first.flow('two', async (input: number) => input)
    assert.equal(await one.run(1, { id: 'id' }), 1)
    const conflict = { code: 'RUN_CONFLICT', details: { run: 'id' } }
    await assert.rejects(one.run(2, { id: 'id' }), conflict)
    await assert.rejects(two.run(1, { id: 'id' }), conflict)
    await assert.rejects(one.run(1, { id: 'default/x' }), { code: 'RUN_CONFLICT' })
    const running = [one.run(5, { id: 'at once' }), one.run(6, { id: 'at once' })]
    assert.deepEqual(
      (await Promise.allSettled(running)).map(({ status }) => status),
      ['fulfilled', 'rejected'],
    )
    await assert.rejects(one.run(1, { id: 'a\u0000b' }), { code: 'RUN_ID_INVALID' })
    assert.equal(await one.run(1, { id: 'id' }), 1)
    await first.close()
  })

  test('refuses a name that is taken', async () => {
    const runtime = await room.open()
    runtime.flow('flow', async () => 1)
    assert.throws(() => runtime.flow('flow', async () => 2), { code: 'FLOW_DUPLICATE' })
    await runtime.close()
    const again = await room.open()
    again.flow('flow', async () => 1)
    await again.close()
  })

  test('refuses an input or a result that cannot be stored, with its path, and loses nothing', async () => {
    const runtime = await room.open()
    const model = scriptedModel(echo)
    const agent = runtime.durable(testAgent(model))
    let result: unknown = { deep: [1, { socket: () => {} }] }
    const flow = runtime.flow('flow', async (_input: unknown) => {
      await agent.run('a')
      return result
    })
    const input = await flow.run({ list: [() => {}] }).catch((error: unknown) => error)
    assert.ok(isPerdureError(input, 'VALUE_NOT_STORABLE'))
    assert.match(input.message, /list\[0\]/)
    assert.deepEqual(runtime.events, [])
    const output = await flow.run('x').catch((error: unknown) => error)
    assert.ok(isPerdureError(output, 'VALUE_NOT_STORABLE'))
    assert.match(output.message, /deep\[1\]\.socket/)
    result = 'plain'
    assert.equal(await flow.run('x'), 'plain')
    assert.equal(model.calls, 1)
    await runtime.close()
  })

  test('runs in a flow are runs of their own', async () => {
    const directory = room.room.path()
    const run = async (fails: boolean) => {
      const runtime = await room.open(directory)
      const model = scriptedModel(echo)
      const agent = runtime.durable(testAgent(model))
      const inner = runtime.flow('inner', async (input: string) => (await agent.run(input)).output)
      const outer = runtime.flow('outer', async () => {
        const own = await agent.run('own')
        const both = await Promise.all([inner.run('x'), inner.run('y')])
        if (fails) throw new Error('on purpose')
        return [own.output, ...both]
      })
      const result = await outer.run(undefined).catch(() => undefined)
      await runtime.close()
      return [result, model.calls]
    }
    assert.deepEqual(await run(true), [undefined, 3])
    assert.deepEqual(await run(false), [['own!', 'x!', 'y!'], 0])
  })

  test('that would wait for itself says so', async () => {
    const runtime = await room.open()
    const flow = runtime.flow('flow', async (input: number): Promise<number> => flow.run(input))
    await assert.rejects(flow.run(1), { code: 'RUN_CONFLICT' })
    await runtime.close()
  })

  test('goes on where it stopped once it has more steps', async () => {
    const directory = room.room.path()
    const { note, notes } = noteTool()
    const run = async (maxSteps: number) => {
      const runtime = await room.open(directory)
      const model = scriptedModel(noteRounds(3))
      const agent = runtime.durable(testAgent(model, { maxSteps }, [note]))
      const flow = runtime.flow('flow', async () => (await agent.run('go')).output)
      const result = await flow.run(undefined).catch((error: unknown) => (isPerdureError(error) ? error.code : error))
      await runtime.close()
      return [result, model.calls, toOutline(runtime.events).join()]
    }
    assert.deepEqual(await run(2), ['MAX_STEPS', 2, 'default new'])
    assert.deepEqual(await run(2), ['MAX_STEPS', 0, 'default retried'])
    assert.deepEqual(await run(5), ['noted go 1, noted go 2, noted go 3', 2, 'default retried'])
    assert.deepEqual(notes, ['go 1', 'go 2', 'go 3'])
  })

  test('goes on where a turn failed, also when the conversation went on after it', async () => {
    const directory = room.room.path()
    const { note, notes } = noteTool()
    const run = async (maxSteps: number) => {
      const runtime = await room.open(directory)
      const model = scriptedModel((request) => (lastPrompt(request) === 'go' ? noteRounds(3)(request) : 'sorry'))
      const agent = runtime.durable(testAgent(model, { maxSteps }, [note]))
      const flow = runtime.flow('flow', async () => {
        const first = await agent.run('go').catch(() => undefined)
        const second = await agent.run('what now?')
        if (first === undefined) throw new Error('on purpose')
        return [first.output, second.output]
      })
      const result = await flow.run(undefined).catch((error: unknown) => (error instanceof Error ? error.message : error))
      await runtime.close()
      return [result, model.calls, toOutline(runtime.events)]
    }
    assert.deepEqual(await run(2), ['on purpose', 3, ['default new', 'default_2 new']])
    assert.deepEqual(await run(5), [['noted go 1, noted go 2, noted go 3', 'sorry'], 3, ['default retried', 'default_2 new']])
    assert.deepEqual(notes, ['go 1', 'go 2', 'go 3'])
  })

  test('a turn after one that failed in the middle of its calls sees the same after a death', async () => {
    const directory = room.room.path()
    const asked = Promise.withResolvers<void>()
    const seen: unknown[] = []
    const run = async (hangs: boolean) => {
      const runtime = await room.open(directory)
      const { note } = noteTool()
      const settled = Promise.withResolvers<void>()
      const fail = () => settled.promise.then(() => Promise.reject(new Error('a broken tool object')))
      const bad = { ...note, name: 'bad', execute: fail }
      const model = scriptedModel((request) => {
        if (lastPrompt(request) === 'first')
          return {
            toolCalls: [
              { name: 'note', arguments: { text: 'x' } },
              { name: 'bad', arguments: {} },
            ],
          }
        seen.push(request.messages.map(({ content }) => content))
        asked.resolve()
        return hangs ? { fault: 'hang' } : 'fine'
      })
      const agent = runtime.durable(testAgent(model, {}, [note, bad]), { checkpoint: 'turn' })
      runtime.subscribe((event) => event.type === 'call.settled' && event.kind === 'tool' && settled.resolve())
      const flow = runtime.flow('flow', async () => {
        await agent.run('first').catch(() => {})
        return (await agent.run('second')).output
      })
      const result = flow.run(undefined).catch(() => undefined)
      await asked.promise
      if (hangs) await runtime.close()
      await result
      await runtime.close()
    }
    await run(true)
    await run(false)
    assert.deepEqual(seen[0], ['first', '', 'noted x', 'This call was interrupted. Its outcome is not known.', 'second'])
    assert.deepEqual(seen[1], seen[0])
  })

  test('keeps what it records apart from that of another runtime in the process', async () => {
    const [one, two] = [await room.open(), await room.open()]
    const model = scriptedModel(echo)
    const agents = [one, two].map((runtime) => runtime.durable(testAgent(model)))
    const flows = [one, two].map((runtime, index) =>
      runtime.flow('flow', async (input: string) => (await agents[index]?.run(input))?.output),
    )
    assert.deepEqual(await Promise.all(flows.map((flow, index) => flow.run(`${index}`))), ['0!', '1!'])
    assert.deepEqual(await flows[0]?.run('1'), '1!')
    assert.equal(model.calls, 3)
    // An agent of another runtime is in no flow of this one: its turns belong to its own session.
    const crossed = one.flow('crossed', async () => (await agents[1]?.run('crossed'))?.output)
    assert.equal(await crossed.run(undefined), 'crossed!')
    assert.equal((await agents[1]?.run('crossed'))?.turn, 2)
    await Promise.all([one.close(), two.close()])
  })

  test('ends by its signal, even when the function does not listen, and goes on when it is started again', async () => {
    const runtime = await room.open()
    let hangs = true
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel((request) => {
      if (lastPrompt(request) === 'b' && hangs) {
        asked.resolve()
        return { fault: 'hang' }
      }
      return echo(request)
    })
    const agent = runtime.durable(testAgent(model))
    const flow = runtime.flow('flow', async () => [(await agent.run('a')).output, (await agent.run('b')).output])
    const abort = new AbortController()
    const run = flow.run(undefined, { signal: abort.signal })
    await asked.promise
    abort.abort(new Error('enough'))
    await assert.rejects(run, (error) => isPerdureError(error, 'ABORTED') && (error.cause as Error).message === 'enough')
    hangs = false
    assert.deepEqual(await flow.run(undefined), ['a!', 'b!'])
    assert.equal(model.calls, 3)
    assert.deepEqual(toOutline(runtime.events), ['default new', 'default_2 new', 'default reused', 'default_2 resumed'])

    const deaf = runtime.flow('deaf', () => new Promise(() => {}))
    const second = new AbortController()
    const ended = assert.rejects(deaf.run(undefined, { signal: second.signal }), { code: 'ABORTED' })
    second.abort()
    await ended
    await assert.rejects(deaf.run(1, { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    await runtime.close()
  })

  test('a turn that is ended by its own signal is an error that the flow may catch', async () => {
    const runtime = await room.open()
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel((request) => {
      if (lastPrompt(request) !== 'long') return echo(request)
      asked.resolve()
      return { fault: 'hang' }
    })
    const agent = runtime.durable(testAgent(model))
    const abort = new AbortController()
    const flow = runtime.flow('flow', async () => {
      const code = await agent
        .run('long', { signal: abort.signal })
        .catch((error: unknown) => isPerdureError(error) && error.code)
      return [code, (await agent.run('short')).output]
    })
    const run = flow.run(undefined)
    await asked.promise
    abort.abort()
    assert.deepEqual(await run, ['ABORTED', 'short!'])
    await runtime.close()
  })

  test('ends what runs beside the turn that failed, and takes that up again in the next attempt', async () => {
    const directory = room.room.path()
    const { note, notes } = noteTool()
    const run = async (fails: boolean) => {
      const runtime = await room.open(directory)
      const asked = Promise.withResolvers<void>()
      const slow = scriptedModel((request) => {
        if (request.messages.length < 3 || !fails) return noteRounds(1)(request)
        asked.resolve()
        return { fault: 'hang' }
      })
      const quick = scriptedModel((request) => (fails ? { fault: 'refusal', until: asked.promise } : echo(request)))
      const a = runtime.durable(testAgent(slow, { name: 'slow' }, [note]))
      const b = runtime.durable(testAgent(quick, { name: 'quick' }))
      const flow = runtime.flow('flow', async () => {
        const [one, two] = await Promise.all([a.run('a'), b.run('b')])
        return [one.output, two.output]
      })
      const result = await flow.run(undefined).catch((error: unknown) => isPerdureError(error) && error.code)
      await runtime.close()
      const end = runtime.events.find((event) => event.type === 'run.failed')
      return { result, spent: end?.receipt.spent.modelCalls, outline: toOutline(runtime.events).sort(), calls: slow.calls }
    }
    assert.deepEqual(await run(true), { result: 'MODEL_REFUSED', spent: 1, outline: ['quick new', 'slow new'], calls: 2 })
    assert.deepEqual(await run(false), {
      result: ['noted a 1', 'b!'],
      spent: undefined,
      outline: ['quick retried', 'slow resumed'],
      calls: 1,
    })
    assert.deepEqual(notes, ['a 1'])
  })

  test('that has ended takes no more turns and steps', async () => {
    const runtime = await room.open()
    const agent = runtime.durable(testAgent(scriptedModel(echo)))
    const late = Promise.withResolvers<readonly unknown[]>()
    const go = Promise.withResolvers<void>()
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => {
      go.promise
        .then(() => Promise.allSettled([agent.run('late'), step('late', () => 1)]))
        .then((results) => late.resolve(results.map((result) => result.status === 'rejected' && result.reason.code)))
    })
    await flow.run(undefined)
    go.resolve()
    assert.deepEqual(await late.promise, ['FLOW_ENDED', 'FLOW_ENDED'])
    await runtime.close()
  })

  test('of a runtime that was closed in the middle of a turn goes on', async () => {
    const directory = room.room.path()
    const asked = Promise.withResolvers<void>()
    const first = await room.open(directory)
    const agent = first.durable(
      testAgent(
        scriptedModel(() => {
          asked.resolve()
          return { fault: 'hang' }
        }),
      ),
    )
    const run = first.flow('flow', async () => (await agent.run('a')).output).run(undefined)
    const ended = assert.rejects(run, { code: 'ABORTED' })
    await asked.promise
    await first.close()
    await ended
    await first.close()
    await assert.rejects(agent.run('b'), { code: 'STORE_CLOSED' })
    const second = await room.open(directory)
    const again = second.durable(testAgent(scriptedModel(echo)))
    assert.equal(await second.flow('flow', async () => (await again.run('a')).output).run(undefined), 'a!')
    assert.deepEqual(toOutline(second.events), ['default resumed'])
    await second.close()
  })

  test('may be closed from within', async () => {
    const runtime = await room.open()
    const flow = runtime.flow('flow', () => runtime.close())
    await assert.rejects(flow.run(undefined), { code: 'ABORTED' })
    await runtime.close()
  })
})
