/** The attempts at a step: retries and time limits that outlive the process, cancellation, and a runtime that closes in the middle. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isSuspension, type Runtime, type RuntimeSettings, type ToolContext, type ToolDefinition, tool } from 'perdure'
import { scriptedModel, testClock } from 'perdure/testing'
import { z } from 'zod'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { eventually } from '../support/processes.ts'
import { testAgent } from '../support/runtime-room.ts'

type Options = Pick<ToolDefinition<z.ZodObject>, 'effect' | 'onDoubt' | 'retry' | 'timeoutMs'>
interface Attempt {
  readonly key: string
  readonly attempt: number
  readonly at: number
}

describe('a step', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  const key = 'call/000001/m001/call_1'
  const forever = () => new Promise<never>(() => {})

  /** An agent that calls a tool once and says what it was told. */
  const agentOf = (run: (context: ToolContext) => unknown, options: Options = {}) => {
    const work = tool({ name: 'work', description: 'Works', input: z.object({}), run: (_, context) => run(context), ...options })
    const model = scriptedModel(({ messages }) => {
      const told = messages.find(({ role }) => role === 'tool')
      return told?.content ?? { toolCalls: [{ name: 'work', id: 'call_1' }] }
    })
    return testAgent(model, {}, [work])
  }
  const begin = async (agent: ReturnType<typeof agentOf>, directory = room.directory(), options: RuntimeSettings = {}) => {
    const runtime = await room.open(directory, [agent.machine], options)
    const run = await runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    return { runtime, run, directory, output: async () => ((await run.done()) as { output: string }).output }
  }
  const stepOf = async (runtime: Runtime, step = key) => {
    for await (const info of runtime.get('run').steps()) if (info.key === step) return info
    return assert.fail(`there is no step ${step}`)
  }

  describe('that fails and is tried again', () => {
    const retry = { maxAttempts: 3, delayMs: 10_000 }

    test('makes its third attempt when it is due, in a process that did not make the second', async () => {
      const clock = testClock()
      const seen: Attempt[] = []
      const fail = ({ key, attempt }: ToolContext) => {
        seen.push({ key, attempt, at: clock.now() })
        throw new Error(`no ${attempt}`)
      }
      const first = await begin(agentOf(fail, { retry }), undefined, { clock })
      await eventually('the first wait', async () => seen.length === 1 && (await stepOf(first.runtime)).retryAt !== undefined)
      await clock.advance(10_000)
      const due = await eventually('the second wait', async () => {
        const { attempt, retryAt } = await stepOf(first.runtime)
        return attempt === 2 ? retryAt : undefined
      })
      assert.equal((await stepOf(first.runtime)).status, 'retrying')
      const failedAt = seen[1]?.at ?? 0 // or up to now
      assert.ok(due >= failedAt + 10_000 && due <= clock.now() + 20_000, 'twice as long, less some jitter')
      await first.runtime.close()

      const agent = agentOf(
        (context) => {
          seen.push({ key: context.key, attempt: context.attempt, at: clock.now() })
          return 'done at last'
        },
        { retry },
      )
      const second = await begin(agent, first.directory, { clock })
      const { status, attempt, retryAt } = await stepOf(second.runtime)
      assert.deepEqual([status, attempt, retryAt], ['retrying', 2, due])
      await clock.advance(due - clock.now() - 1)
      assert.equal(seen.length, 2, 'not earlier')
      await clock.advance(1)
      assert.equal(await second.output(), 'done at last')
      assert.deepEqual(
        seen.map(({ attempt }) => attempt),
        [1, 2, 3],
      )
      assert.equal(new Set(seen.map(({ key }) => key)).size, 1)
      assert.equal(seen[2]?.at, due)
      assert.equal((await stepOf(second.runtime)).resolution, undefined, 'it was never in doubt')
      await second.runtime.close()
    })

    test('tells the model of the last failure, and makes no fourth attempt', async () => {
      const clock = testClock()
      let attempts = 0
      const { runtime, output } = await begin(
        agentOf(
          ({ attempt }) => {
            attempts++
            throw new Error(`no ${attempt}`)
          },
          { retry: { maxAttempts: 3, delayMs: 0 } },
        ),
        undefined,
        { clock },
      )
      assert.equal(await output(), 'Tool `work` failed: no 3')
      assert.equal(attempts, 3)
      await runtime.close()
    })

    test('is executed at once after a restart that came after it was due', async () => {
      const clock = testClock()
      const first = await begin(
        agentOf(
          () => {
            throw new Error('no')
          },
          { retry },
        ),
        undefined,
        { clock },
      )
      await eventually('it waits', async () => (await stepOf(first.runtime)).retryAt !== undefined)
      await first.runtime.close()
      clock.set(clock.now() + 3_600_000)
      const second = await begin(
        agentOf(({ attempt }) => `attempt ${attempt}`, { retry }),
        first.directory,
        { clock },
      )
      assert.equal(await second.output(), 'attempt 2')
      await second.runtime.close()
    })

    test('waits no longer when its run is cancelled', async () => {
      const clock = testClock()
      let attempts = 0
      const { runtime, run } = await begin(
        agentOf(
          () => {
            attempts++
            throw new Error('no')
          },
          { retry },
        ),
        undefined,
        { clock },
      )
      await eventually('it waits', async () => (await stepOf(runtime)).retryAt !== undefined)
      await run.cancel()
      await clock.advance(60_000)
      assert.equal(attempts, 1)
      await rejectsWith(run.done(), 'RUN_CANCELLED')
      await runtime.close()
    })
  })

  test('that takes too long is aborted, and the model is told', async () => {
    const clock = testClock()
    const started = Promise.withResolvers<AbortSignal>()
    const { runtime, output } = await begin(
      agentOf(
        ({ signal }) => {
          started.resolve(signal)
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        },
        { timeoutMs: 5_000 },
      ),
      undefined,
      { clock },
    )
    const signal = await started.promise
    await clock.advance(4_999)
    assert.equal(signal.aborted, false)
    await clock.advance(1)
    assert.equal(signal.aborted, true)
    assert.equal(isSuspension(signal), false)
    assert.equal(await output(), 'Tool `work` did not end within 5000 ms and was ended. It may have had an effect.')
    await runtime.close()
  })

  test('that takes too long and does not listen is given up, a few seconds later', async () => {
    const clock = testClock()
    const started = Promise.withResolvers<void>()
    const { runtime, output } = await begin(
      agentOf(
        () => {
          started.resolve()
          return forever()
        },
        { timeoutMs: 5_000 },
      ),
      undefined,
      { clock },
    )
    await started.promise
    await clock.advance(5_000)
    await clock.advance(5_000)
    assert.match(await output(), /did not end within 5000 ms/)
    await runtime.close()
  })

  test('of a tool that is cancelled is told so, and what had settled is on record', async () => {
    const started = Promise.withResolvers<AbortSignal>()
    const { runtime, run } = await begin(
      agentOf(({ signal }) => {
        started.resolve(signal)
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      }),
    )
    const signal = await started.promise
    await run.cancel('enough')
    assert.equal(signal.aborted, true)
    assert.equal(isSuspension(signal), false)
    assert.equal((await stepOf(runtime, 'call/000001/m001')).status, 'ok')
    const { status, endedAt } = await stepOf(runtime)
    assert.equal(status, 'inDoubt', 'it was ended while it ran')
    assert.ok(endedAt !== undefined)
    await runtime.close()
  })

  test('of a tool that is cancelled and comes to its end all the same is recorded with what it came to', async () => {
    const started = Promise.withResolvers<void>()
    const { runtime, run } = await begin(
      agentOf(({ signal }) => {
        started.resolve()
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve('half of it')))
      }),
    )
    await started.promise
    await run.cancel()
    const { status, value } = await stepOf(runtime)
    assert.equal(status, 'ok')
    assert.equal((value as { content: string }).content, 'half of it') // a tool message
    await runtime.close()
  })

  test('of a model that is cancelled is told so', async () => {
    const started = Promise.withResolvers<AbortSignal>()
    const agent = testAgent((_request, { signal }) => {
      started.resolve(signal)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const runtime = await room.open(room.directory(), [agent.machine])
    const run = await runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    const signal = await started.promise
    await run.cancel()
    assert.equal(signal.aborted, true)
    assert.equal(isSuspension(signal), false)
    assert.equal((await stepOf(runtime, 'call/000001/m001')).status, 'inDoubt')
    await rejectsWith(run.done(), 'RUN_CANCELLED')
    await runtime.close()
  })

  for (const [options, expected] of [
    [{ effect: 'idempotent' }, 'attempt 2'],
    [{ effect: 'external' }, /the outcome is not known/],
  ] as const)
    test(`is only suspended by a runtime that closes, and goes by its policy in the next (${options.effect})`, async () => {
      const started = Promise.withResolvers<AbortSignal>()
      const first = await begin(
        agentOf(({ signal }) => {
          started.resolve(signal)
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        }, options),
      )
      const signal = await started.promise
      await first.runtime.close()
      assert.equal(isSuspension(signal), true)

      const looking = await room.open(first.directory, [], { autoResume: false })
      const { status, attempt, endedAt } = await stepOf(looking)
      assert.deepEqual([status, attempt, endedAt], ['inDoubt', 1, undefined])
      await looking.close()

      const second = await begin(
        agentOf(({ attempt }) => `attempt ${attempt}`, options),
        first.directory,
      )
      const told = await second.output()
      if (typeof expected === 'string') assert.equal(told, expected)
      else assert.match(told, expected)
      await second.runtime.close()
    })

  test('whose turn is aborted goes by its policy when the turn is run again', async () => {
    const started = Promise.withResolvers<AbortSignal>()
    let runs = 0
    const agent = agentOf(({ signal, attempt }) => {
      runs++
      if (attempt > 1) return `attempt ${attempt}`
      started.resolve(signal)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const runtime = await room.open(room.directory(), [])
    const session = runtime.durable(agent).session('one')
    const abort = new AbortController()
    const turn = session.run('go', { signal: abort.signal })
    const signal = await started.promise
    abort.abort()
    await rejectsWith(turn, 'ABORTED')
    assert.equal(isSuspension(signal), false)
    const { output } = await session.run('go')
    assert.match(output, /the outcome is not known/)
    assert.equal(runs, 1)
    await runtime.close()
  })
})
