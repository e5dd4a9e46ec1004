/** `flow.step`: any other work, executed once. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FlowContext, isPerdureError, type StepFunctionContext } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { createRuntimeRoom, echo, type RuntimeRoom, testAgent, toOutline } from '../support/runtime-room.ts'

describe('a step', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** Runs a flow of steps in a store; `die`: the runtime is closed when `dead` resolves. */
  const attempt = async <T>(directory: string, fn: (flow: FlowContext) => Promise<T>, dead?: Promise<unknown>) => {
    const runtime = await room.open(directory)
    const flow = runtime.flow('flow', (_input: string, context) => fn(context))
    const result = flow.run('input', { id: 'run' }).catch((error: unknown) => error)
    if (dead !== undefined) {
      await dead
      await runtime.close()
    }
    const output = await result
    await runtime.close()
    return { output, outline: toOutline(runtime.events), events: runtime.events }
  }

  test('is executed once under its name, and a second one of that name is another', async () => {
    const directory = room.room.path()
    let count = 0
    const flow = async ({ step }: FlowContext) => {
      const values: unknown[] = []
      for (const name of ['name_2', 'name', 'name', 'name', 'other']) values.push(await step(name, () => ++count))
      return values
    }
    const failing = async (context: FlowContext) => Promise.reject(new Error(String(await flow(context))))
    const first = await attempt(directory, failing)
    assert.deepEqual(first.outline, ['name_2 new', 'name new', 'name_3 new', 'name_4 new', 'other new'])
    assert.deepEqual((await attempt(directory, flow)).output, [1, 2, 3, 4, 5])
    assert.equal(count, 5)
  })

  test('has the same key and counts its attempts over restarts', async () => {
    const directory = room.room.path()
    const contexts: Pick<StepFunctionContext, 'key' | 'attempt'>[] = []
    const started = Promise.withResolvers<void>()
    const flow =
      (hangs: boolean) =>
      ({ step }: FlowContext) =>
        step('charge', ({ key, attempt }) => {
          contexts.push({ key, attempt })
          started.resolve()
          return hangs ? new Promise<string>(() => {}) : 'charged'
        })
    await attempt(directory, flow(true), started.promise)
    const second = await attempt(directory, flow(false))
    assert.deepEqual(second.outline, ['charge resumed'])
    assert.equal(second.output, 'charged')
    assert.deepEqual(contexts, [
      { key: 'run#step/charge', attempt: 1 },
      { key: 'run#step/charge', attempt: 2 },
    ])
  })

  test('may have the name of an agent', async () => {
    const runtime = await room.open()
    const agent = runtime.durable(testAgent(scriptedModel(echo)))
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => [
      (await agent.run('a')).output,
      await step('default', () => 'step'),
      (await agent.run('b')).output,
      await step('default', () => 'second'),
    ])
    assert.deepEqual(await flow.run(undefined), ['a!', 'step', 'b!', 'second'])
    await runtime.close()
  })

  test('keeps values that JSON would lose', async () => {
    const directory = room.room.path()
    const value = { when: new Date(3), map: new Map([[1, 2n]]), bytes: new Uint8Array([1]), nan: Number.NaN, none: undefined }
    await attempt(directory, async ({ step }) => {
      await step('value', () => value)
      throw new Error('on purpose')
    })
    const { output } = await attempt(directory, ({ step }) => step('value', () => assert.fail('executed again')))
    assert.deepEqual(output, value)
  })

  test('with a value that cannot be stored says where, and is executed again', async () => {
    const directory = room.room.path()
    let count = 0
    const flow = ({ step }: FlowContext) =>
      step('value', () => {
        count++
        return count === 1 ? { list: [{ fn: () => {} }] } : 'plain'
      })
    const { output, events } = await attempt(directory, flow)
    assert.ok(isPerdureError(output, 'VALUE_NOT_STORABLE'))
    assert.match(output.message, /list\[0\]\.fn/)
    assert.ok(events.some(({ type }) => type === 'checkpoint.failed'))
    assert.equal((await attempt(directory, flow)).output, 'plain')
  })

  test('that throws what cannot be stored, or anything at all, holds after a death', async () => {
    const directory = room.room.path()
    const thrown = [
      Object.assign(new RangeError('range'), { socket: () => {} }),
      'a text',
      { toString: null },
      Object.assign(new Error('named'), { name: 'AbortError' }),
    ]
    let count = 0
    const flow =
      (dead?: PromiseWithResolvers<void>) =>
      async ({ step }: FlowContext) => {
        const caught: unknown[] = []
        for (const error of thrown)
          await step('step', () => {
            count++
            throw error
          }).catch((error: unknown) => caught.push(error instanceof Error ? `${error.name}: ${error.message}` : error))
        dead?.resolve()
        if (dead) await new Promise(() => {})
        return caught
      }
    const dead = Promise.withResolvers<void>()
    await attempt(directory, flow(dead), dead.promise)
    assert.deepEqual((await attempt(directory, flow())).output, [
      'RangeError: range',
      'Error: a text',
      'Error: A value was thrown that has no text',
      'AbortError: named',
    ])
    assert.equal(count, 4)
  })

  test('that throws an error of ours is recorded like any other', async () => {
    const directory = room.room.path()
    let count = 0
    const dead = Promise.withResolvers<void>()
    const vanilla = testAgent(scriptedModel(echo))
    const flow =
      (dies: boolean) =>
      async ({ step }: FlowContext) => {
        const code = await step('ask', async () => {
          count++
          return (await vanilla.run('a', { signal: AbortSignal.abort() })).output
        }).catch((error: unknown) => isPerdureError(error) && error.code)
        dead.resolve()
        if (dies) await new Promise(() => {})
        return code
      }
    await attempt(directory, flow(true), dead.promise)
    assert.equal((await attempt(directory, flow(false))).output, 'ABORTED')
    assert.equal(count, 1)
  })

  test('cannot hold another checkpoint', async () => {
    const runtime = await room.open()
    const agent = runtime.durable(testAgent(scriptedModel(echo)))
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => {
      const codes: unknown[] = []
      const note = (error: unknown): void => void codes.push(isPerdureError(error) && error.code)
      await step('outer', async () => {
        await agent.run('a').catch(note)
        await step('inner', () => 1).catch(note)
      })
      return [...codes, await step('inner', () => 1)]
    })
    assert.deepEqual(await flow.run(undefined), ['STEP_NESTED', 'STEP_NESTED', 1])
    await runtime.close()
  })

  test('may be one of many at once', async () => {
    const directory = room.room.path()
    const names = Array.from({ length: 20 }, (_, index) => `s${index}`)
    const failed = await attempt(directory, async ({ step }) => {
      const ends = await Promise.allSettled(names.map((name, index) => step(name, () => (index < 15 ? name : assert.fail(name)))))
      throw new Error(ends.filter(({ status }) => status === 'rejected').length.toString())
    })
    assert.match(String(failed.output), /5$/)
    const { output, outline } = await attempt(directory, ({ step }) =>
      Promise.all(names.map((name) => step(name, () => `${name} again`))),
    )
    assert.deepEqual(output, [...names.slice(0, 15), ...names.slice(15).map((name) => `${name} again`)])
    assert.equal(outline.filter((line) => line.endsWith('retried')).length, 5)
  })

  test('that ends after its run is in doubt, and its run can be started again at once', async () => {
    const directory = room.room.path()
    const runtime = await room.open(directory)
    const release = Promise.withResolvers<string>()
    const late = Promise.withResolvers<unknown>()
    let running = 0
    let most = 0
    let first = true
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => {
      const slow = step('slow', async () => {
        running++
        most = Math.max(most, running)
        const value = await release.promise
        running--
        return value
      })
      if (!first) return slow
      first = false
      slow.catch(late.resolve)
      await step('quick', () => {})
      throw new Error('on purpose')
    })
    await assert.rejects(flow.run(undefined), { message: 'on purpose' })
    const again = flow.run(undefined)
    release.resolve('value')
    assert.equal(await again, 'value')
    assert.ok(isPerdureError(await late.promise, 'FLOW_ENDED'))
    assert.equal(most, 1, 'it is never executed twice at once')
    assert.equal(running, 0)
    assert.ok(toOutline(runtime.events).includes('slow resumed'))
    await runtime.close()
  })

  test('refuses what is no name and no function', async () => {
    const nothing = undefined as unknown as string & (() => unknown) // what a caller without types may pass
    for (const fn of [
      ({ step }: FlowContext) => step('', () => 1),
      ({ step }: FlowContext) => step(nothing, () => 1),
      ({ step }: FlowContext) => step('\ud800', () => 1),
      ({ step }: FlowContext) => step('a', nothing),
    ])
      assert.ok((await attempt(room.room.path(), fn)).output instanceof TypeError)
  })
})
