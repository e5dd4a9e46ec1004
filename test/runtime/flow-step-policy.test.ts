/** What is done about a step of a flow that fails, takes too long, or was running when its process died. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FlowContext, isPerdureError, type StepOptions } from 'perdure'
import { testClock } from 'perdure/testing'
import { createRuntimeRoom, type RecordedRuntime, type RuntimeRoom } from '../support/runtime-room.ts'

describe('a step in doubt', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const toCode = (error: unknown): unknown => (isPerdureError(error) ? error.code : error)

  /** Dies while the step runs, then lives with these options. `answer`: what a person says. */
  const resume = async (options: StepOptions<string>, answer?: unknown) => {
    const directory = room.room.path()
    const attempts: number[] = []
    const first = await room.open(directory)
    const running = Promise.withResolvers<void>()
    const dying = first
      .flow('flow', (_input: undefined, { step }: FlowContext) =>
        step('pay', () => {
          running.resolve()
          return new Promise<string>(() => {})
        }),
      )
      .run(undefined, { id: 'run' })
    dying.catch(() => {})
    await running.promise
    await first.close()

    const second = await room.open(directory)
    const asking = Promise.withResolvers<string>()
    second.subscribe((event) => void (event.type === 'question.asked' && asking.resolve(event.key)))
    const result = second
      .flow('flow', (_input: undefined, { step }: FlowContext) =>
        step(
          'pay',
          ({ attempt }) => {
            attempts.push(attempt)
            return 'paid'
          },
          options,
        ),
      )
      .run(undefined, { id: 'run' })
      .catch(toCode)
    if (answer !== undefined) await second.get('run').answer(await asking.promise, answer)
    const outcome = await result
    await second.close()
    return { outcome, attempts }
  }

  test('is executed again, as its second attempt', async () => {
    assert.deepEqual(await resume({}), { outcome: 'paid', attempts: [2] })
  })

  test('is what the outside world says that it is', async () => {
    const keys: string[] = []
    const settled = await resume({
      recover({ key, attempt }) {
        keys.push(`${key} ${attempt}`)
        return { status: 'settled', value: 'paid before' }
      },
    })
    assert.deepEqual(settled, { outcome: 'paid before', attempts: [] })
    assert.deepEqual(keys, ['run#step/pay 1'])
    const refused = new Error('refused')
    assert.deepEqual(await resume({ recover: () => ({ status: 'settled', error: refused }) }), { outcome: refused, attempts: [] })
    assert.deepEqual(await resume({ recover: () => ({ status: 'notStarted' }), onDoubt: 'report' }), {
      outcome: 'paid',
      attempts: [2],
    })
    const unknown = await resume({
      recover() {
        throw new Error('nobody knows')
      },
      onDoubt: 'report',
    })
    assert.deepEqual(unknown, { outcome: 'STEP_IN_DOUBT', attempts: [] })
  })

  test('fails when that is to be reported, and waits for a person when one is to be asked', async () => {
    assert.deepEqual(await resume({ onDoubt: 'report' }), { outcome: 'STEP_IN_DOUBT', attempts: [] })
    assert.deepEqual(await resume({ onDoubt: 'ask' }, { result: 'paid by hand' }), { outcome: 'paid by hand', attempts: [] })
    assert.deepEqual(await resume({ onDoubt: 'ask' }, { retry: true }), { outcome: 'paid', attempts: [2] })
    const { outcome } = await resume({ onDoubt: 'ask' }, { error: 'not paid' })
    assert.equal(outcome instanceof Error && outcome.message, 'not paid')
  })
})

describe('a step that fails', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const retried = (runtime: RecordedRuntime, attempt: number): Promise<number> =>
    new Promise((resolve) => {
      runtime.subscribe((event) => void (event.type === 'call.retried' && event.attempt === attempt && resolve(event.delayMs)))
    })

  test('is tried again after a wait that grows and outlives the process, as often as it may', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const attempts: string[] = []
    const begin = async () => {
      const runtime = await room.open(directory, { clock })
      const flow = runtime.flow('flow', (_input: undefined, { step }: FlowContext) =>
        step(
          'call',
          ({ attempt, key }) => {
            attempts.push(`${key} ${attempt}`)
            throw new Error(`attempt ${attempt}`)
          },
          { retry: { maxAttempts: 3, delayMs: 60_000 } },
        ),
      )
      return { runtime, flow }
    }
    const first = await begin()
    const failed = retried(first.runtime, 1)
    first.flow.run(undefined, { id: 'run' }).catch(() => {})
    const delayMs = await failed
    assert.ok(delayMs >= 30_000 && delayMs <= 60_000)
    await clock.advance(delayMs - 1)
    await first.runtime.close()
    assert.equal(attempts.length, 1)
    const second = await begin()
    const failedAgain = retried(second.runtime, 2)
    const result = second.flow.run(undefined, { id: 'run' }).catch((error: Error) => error.message)
    const started = new Promise<void>((resolve) => {
      second.runtime.subscribe(({ type }) => void (type === 'run.started' && resolve()))
    })
    await started
    await clock.advance(1)
    await clock.advance(await failedAgain)
    assert.equal(await result, 'attempt 3')
    assert.deepEqual(attempts, ['run#step/call 1', 'run#step/call 2', 'run#step/call 3'])
    await second.runtime.close()
  })

  test('has a time limit: its signal aborts, and it fails', async () => {
    const clock = testClock()
    const runtime = await room.open(undefined, { clock })
    const running = Promise.withResolvers<void>()
    const flow = runtime.flow('flow', (_input: undefined, { step }: FlowContext) =>
      step(
        'call',
        ({ signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason))
            running.resolve()
          }),
        { timeoutMs: 1_000 },
      ),
    )
    const result = flow.run(undefined, { id: 'run' }).catch((error: unknown) => isPerdureError(error) && error.code)
    await running.promise
    await clock.advance(1_000)
    assert.equal(await result, 'CALL_FAILED')
    await runtime.close()
  })

  test('refuses options that make no sense', async () => {
    const runtime = await room.open()
    const flow = runtime.flow('flow', async (_input: undefined, { step }: FlowContext) => {
      const refused: boolean[] = []
      // What a caller without types may pass.
      for (const options of [null, { onDoubt: 'no' }, { recover: 1 }, { timeoutMs: 0 }, { retry: { maxAttempts: 0 } }])
        await step('step', () => {}, options as never).catch((error) => refused.push(error instanceof TypeError))
      return refused
    })
    assert.deepEqual(await flow.run(undefined), [true, true, true, true, true])
    await runtime.close()
  })
})
