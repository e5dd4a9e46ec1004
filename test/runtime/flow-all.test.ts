/** `flow.all`: branches that run beside each other, and resume by name (P4), whatever order they end in. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FlowContext, isPerdureError, type RuntimeEvent } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import { createHookedStore } from '../support/hooked-store.ts'
import { createRuntimeRoom, echo, lastPrompt, type RuntimeRoom, testAgent, toOutline } from '../support/runtime-room.ts'

async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

describe('the branches of a flow', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** Runs a flow in a store, to its end or until it is ended by `dead`. */
  const live = async <T>(
    directory: string,
    fn: (flow: FlowContext, end: () => Promise<never>) => Promise<T>,
    agent = testAgent(scriptedModel(echo)),
  ) => {
    const runtime = await room.open(directory)
    const ending = new AbortController()
    const end = (): Promise<never> => {
      ending.abort()
      return new Promise(() => {})
    }
    const durable = runtime.durable(agent)
    const flow = runtime.flow('flow', (_input: undefined, context) => fn(context, end))
    const outcome = await flow.run(undefined, { id: 'run', signal: ending.signal }).then(
      (output) => ({ output, error: undefined }),
      (error: unknown) => ({ output: undefined, error }),
    )
    await runtime.close()
    return { ...outcome, durable, outline: toOutline(runtime.events).sort(), events: runtime.events }
  }

  test('run at once, and their results come in their order', async () => {
    const first = Promise.withResolvers<string>()
    const { output } = await live(room.room.path(), ({ all, step }) =>
      all([
        () => step('x', () => first.promise),
        async () => {
          const value = await step('x', () => 2)
          first.resolve('one')
          return value
        },
        step('x', () => true),
        () => all([]),
      ]),
    )
    assert.deepEqual(output, ['one', 2, true, []])
  })

  test('have names of their own, so that another order of ending finds the same records', async () => {
    const directory = room.room.path()
    const executed: string[] = []
    /** `order`: the branches, as often as a step of them is to be executed, one after the other. */
    const fn =
      (order: readonly number[]) =>
      async ({ all, step }: FlowContext, end: () => Promise<never>) => {
        const turns = [...order, 'end'].map(() => Promise.withResolvers<void>())
        turns[0]?.resolve()
        const branch = (number: number) => async () => {
          const results: string[] = []
          for (const [index, name] of ['x', 'x', 'y'].entries()) {
            const place = order.findIndex(
              (other, at) => other === number && order.slice(0, at).filter((n) => n === number).length === index,
            )
            await turns.at(place)?.promise
            if (place < 0) return end()
            results.push(
              await step(name, () => {
                executed.push(`${number} ${name}`)
                return `${number} ${name} ${index}`
              }),
            )
            turns[place + 1]?.resolve()
          }
          return results
        }
        return all([branch(1), branch(2)])
      }
    const first = await live(directory, fn([1, 2, 1]))
    assert.ok(isPerdureError(first.error, 'ABORTED'))
    assert.deepEqual(executed.splice(0), ['1 x', '2 x', '1 x'])
    const second = await live(directory, fn([2, 2, 2, 1, 1, 1]))
    assert.deepEqual(executed, ['2 x', '2 y', '1 y'])
    assert.deepEqual(second.output, [
      ['1 x 0', '1 x 1', '1 y 2'],
      ['2 x 0', '2 x 1', '2 y 2'],
    ])
    assert.deepEqual(second.outline, [
      'all.1/1/x reused',
      'all.1/1/x_2 reused',
      'all.1/1/y new',
      'all.1/2/x reused',
      'all.1/2/x_2 new',
      'all.1/2/y new',
    ])
  })

  test('do not reach into the names of the flow, of each other or of those within', async () => {
    const directory = room.room.path()
    let count = 0
    const fn = async ({ all, step, sleep }: FlowContext) => [
      await step('all.1/1/x', () => ++count),
      await all([() => step('x', () => ++count), () => all([() => step('x', () => ++count)]), () => sleep(0)]),
      await all([() => step('x', () => ++count), () => sleep(0)]),
      await step('x', () => ++count),
    ]
    const failing = await live(directory, async (flow) => {
      await fn(flow)
      throw new Error('on purpose')
    })
    assert.deepEqual(failing.outline, [
      'all.1/1/x new',
      'all.1/1/x new',
      'all.1/2/all.1/1/x new',
      'all.1/3/sleep new',
      'all.2/1/x new',
      'all.2/2/sleep new',
      'x new',
    ])
    const { output, outline } = await live(directory, fn)
    assert.deepEqual(
      outline,
      failing.outline.map((line) => line.replace('new', 'reused')),
    )
    assert.deepEqual(output, [1, [2, [3], undefined], [4, undefined], 5])
  })

  test('have conversations of their own, so that one agent works in several at once and goes on in each', async () => {
    const directory = room.room.path()
    const run = async (fails: boolean) => {
      const both = Promise.withResolvers<void>()
      const prompts: string[] = []
      const model = scriptedModel(async ({ messages }) => {
        prompts.push(messages.map(({ content }) => content).join(' '))
        if (prompts.length === 2) both.resolve()
        if (!fails) both.resolve()
        await both.promise
        return `${lastPrompt({ messages })}!`
      })
      const runtime = await room.open(directory)
      const agent = runtime.durable(testAgent(model))
      const flow = runtime.flow('flow', async (_input: undefined, { all }) => {
        const first = await all(['a', 'b'].map((name) => () => agent.run(name)))
        if (fails) throw new Error('on purpose')
        const second = await all([agent.run('c'), () => agent.run('d')])
        return [...first, ...second].map(({ output, reused }) => [output, reused])
      })
      const result = await flow.run(undefined, { id: 'run' }).catch((error: Error) => error.message)
      const runs = (await toArray(runtime.runs({ kind: 'agent' }))).map(({ id }) => id)
      await runtime.delete('run')
      const left = (await toArray(runtime.runs())).map(({ id }) => id)
      await runtime.close()
      return { result, prompts: prompts.sort(), runs, left }
    }
    const keep = await run(true)
    assert.deepEqual(keep.prompts, ['a', 'b'])
    assert.deepEqual(keep.left, [])
    const again = await run(false)
    assert.deepEqual(again.prompts, ['a', 'b', 'c', 'd'])
    assert.deepEqual(again.runs.sort(), ['run/all.1/1/default', 'run/all.1/2/default', 'run/all.2/2/default', 'run/default'])
    assert.deepEqual(again.left, [])
  })

  test('that fail do not cancel the others; the first in their order is what is thrown', async () => {
    const directory = room.room.path()
    const executed: string[] = []
    const fn =
      (fails: boolean) =>
      async ({ all, step }: FlowContext) => {
        const failed = Promise.withResolvers<void>()
        return all([
          () =>
            step('good', async () => {
              await failed.promise
              executed.push('good')
              return 'good'
            }),
          async () => {
            await failed.promise
            if (fails) throw new Error('second')
            return 'two'
          },
          () =>
            step('bad', () => {
              failed.resolve()
              executed.push('bad')
              if (fails) throw new Error('third')
              return 'three'
            }),
        ])
      }
    const { error } = await live(directory, fn(true))
    assert.equal(error instanceof Error && error.message, 'second')
    assert.deepEqual(executed.splice(0), ['bad', 'good'])
    const { output, outline } = await live(directory, fn(false))
    assert.deepEqual(output, ['good', 'two', 'three'])
    assert.deepEqual(executed, ['bad'])
    assert.deepEqual(outline, ['all.1/1/good reused', 'all.1/3/bad retried'])
  })

  test('a checkpoint that changed executes with what comes after it in its branch and after all of them, not in other branches', async () => {
    const directory = room.room.path()
    const run = async (prompt: string, fails: boolean) => {
      const runtime = await room.open(directory)
      const agent = runtime.durable(testAgent(scriptedModel(echo)))
      const flow = runtime.flow('flow', async (_input: undefined, { all, step }) => {
        const results = await all([
          async () => `${(await agent.run(prompt)).output} ${await step('x', () => prompt)}`,
          async () => [await step('x', () => 1), await step('y', () => 2)],
          step('beside', () => 3),
        ])
        await step('after', () => 4)
        if (fails) throw new Error('on purpose')
        return results
      })
      const result = await flow.run(undefined, { id: 'run' }).catch((error: Error) => error.message)
      await runtime.close()
      return { result, outline: toOutline(runtime.events).sort() }
    }
    await run('a', true)
    const expected = ['after after-change', 'all.1/1/x after-change', 'all.1/2/x reused', 'all.1/2/y reused', 'beside reused']
    assert.deepEqual((await run('b', true)).outline, [...expected, 'default changed: prompt'])
    const { outline, result } = await run('b', false)
    assert.deepEqual(
      outline,
      [...expected, 'default reused'].map((line) => line.replace('after-change', 'reused')),
    )
    assert.deepEqual(result, ['b! b', [1, 2], 3])
  })

  test('are refused inside of a step, after the end, and when they are none', async () => {
    const late = Promise.withResolvers<FlowContext>()
    const { output } = await live(room.room.path(), async (flow) => {
      late.resolve(flow)
      const codes: unknown[] = []
      const note = (error: unknown): void => void codes.push(isPerdureError(error) ? error.code : error instanceof TypeError)
      await flow.step('step', () => flow.all([]).catch(note))
      // What a caller without types may pass.
      await flow.all('no' as never).catch(note)
      await flow.all([1 as never]).catch(note)
      return codes
    })
    assert.deepEqual(output, ['STEP_NESTED', true, true])
    await assert.rejects((await late.promise).all([]), (error) => isPerdureError(error, 'FLOW_ENDED'))
  })

  test('come to the same whatever write fails, and nothing that had settled is executed again', async (t) => {
    const expected = [['x', 'left!'], ['x', 7, 'right!'], ['x', ['y']], true, 'slept']
    /** Lives until write `death` fails, then once more. Says how many writes there were. */
    const campaign = async (death: number): Promise<number> => {
      const store = await createHookedStore()
      const settled = new Set<string>()
      const repeated: string[] = []
      let writes = 0
      const once = async (isDying: boolean) => {
        const runtime = store.open([], {
          write() {
            writes++
            if (isDying && writes >= death) throw new Error('The disk is gone')
          },
        })
        const begun = (name: string): void => {
          if (settled.has(name)) repeated.push(name)
        }
        const agent = runtime.durable(
          testAgent(
            scriptedModel((request) => {
              begun(lastPrompt(request))
              return echo(request)
            }),
          ),
        )
        const turn = async (prompt: string): Promise<string> => {
          const { output } = await agent.run(prompt)
          settled.add(prompt)
          return output
        }
        const flow = runtime.flow('flow', async (_input: undefined, { all, step, waitFor, ask, sleep }) => {
          const tracked = async (name: string, id: string): Promise<string> => {
            const value = await step(name, () => {
              begun(id)
              return name
            })
            settled.add(id)
            return value
          }
          const results = await all([
            async () => [await tracked('x', '1 x'), await turn('left')],
            async () => [await tracked('x', '2 x'), (await waitFor('go')).n, await turn('right')],
            async () => [await tracked('x', '3 x'), await all([() => tracked('y', '3 y')])],
            () => ask('Sure?', z.boolean()),
            () => sleep(0).then(() => 'slept'),
          ])
          await tracked('end', 'end')
          return results
        })
        const acting: Promise<unknown>[] = []
        const onEvent = (event: RuntimeEvent): void => {
          const run = runtime.get('run')
          if (event.type === 'run.started') acting.push(run.send({ type: 'go', n: 7 }, { id: 'go' }).catch(() => {}))
          if (event.type === 'question.asked') acting.push(run.answer(event.key, true).catch(() => {}))
        }
        runtime.subscribe(onEvent)
        // What was asked before and is not answered need not be asked again.
        for (const { runId, id } of await toArray(runtime.pending())) await runtime.get(runId).answer(id, true)
        const result = await flow.run(undefined, { id: 'run' }).catch((error: unknown) => error)
        await runtime.close().catch(() => {})
        await Promise.all(acting)
        return result
      }
      const died = await once(true)
      if (death <= writes) assert.ok(died instanceof Error, `write ${death} failed and ${JSON.stringify(died)} was returned`)
      assert.deepEqual(await once(false), expected, `after write ${death} had failed`)
      assert.deepEqual(repeated, [], `after write ${death} had failed`)
      const keys = await store.keys()
      assert.deepEqual(
        keys.filter((key) => key.startsWith('i/') || key.startsWith('q/')),
        [],
      )
      return writes
    }
    const writes = await campaign(Number.POSITIVE_INFINITY)
    t.diagnostic(`${writes} writes`)
    for (let death = 1; death <= writes; death++) await campaign(death)
  })
})
