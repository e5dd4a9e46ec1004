import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { executeAttempt, toNextDelay, type Wait } from '../../src/actors/attempt.ts'
import { retryInDoubt } from '../../src/actors/doubt.ts'
import type { StepOutcome, StepPolicy } from '../../src/actors/step.ts'
import { isPerdureError } from '../../src/errors.ts'

const basePolicy: StepPolicy<string> = { doubt: retryInDoubt() }
const ok = (value: string): StepOutcome<string> => ({ status: 'ok', value })
const failed = (error: unknown): StepOutcome<string> => ({ status: 'error', error })
const never = new Promise<never>(() => {})

/** Waits that end by hand, one after the other. */
function createWaits() {
  const waits: { readonly ms: number; readonly signal: AbortSignal; readonly end: () => void }[] = []
  const wait: Wait = (ms, signal) => new Promise((resolve) => waits.push({ ms, signal, end: resolve }))
  return { wait, waits }
}
/** Lets promises that wait for nothing outside run to their end. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

describe('an attempt', () => {
  const live = new AbortController().signal

  test('without a time limit is not watched', async () => {
    const { wait, waits } = createWaits()
    let given: AbortSignal | undefined
    const outcome = await executeAttempt(wait, live, basePolicy, async (signal) => {
      given = signal
      return ok('done')
    })
    assert.deepEqual([outcome, waits.length, given], [ok('done'), 0, live])
  })

  test('that ends in time is what it came to, and leaves no timer', async () => {
    for (const outcome of [ok('done'), failed(new Error('no'))]) {
      const { wait, waits } = createWaits()
      const policy = { ...basePolicy, timeoutMs: 50 }
      assert.equal(await executeAttempt(wait, live, policy, async () => outcome), outcome)
      assert.deepEqual(
        waits.map(({ ms, signal }) => [ms, signal.aborted]),
        [[50, true]],
      )
    }
  })

  test('is told that its time is up, and has a few seconds to say what it came to', async () => {
    const { wait, waits } = createWaits()
    let given = live
    const held = Promise.withResolvers<StepOutcome<string>>()
    const running = executeAttempt(wait, live, { ...basePolicy, timeoutMs: 50 }, (signal) => {
      given = signal
      return held.promise
    })
    assert.equal(given.aborted, false)
    waits[0]?.end()
    await settle()
    assert.ok(isPerdureError(given.reason, 'CALL_FAILED') && given.reason.details.timeoutMs === 50)
    held.resolve(ok('just in time'))
    assert.deepEqual(await running, ok('just in time'))
    assert.deepEqual(
      waits.map(({ ms, signal }) => [ms, signal.aborted]),
      [
        [50, true],
        [5_000, true],
      ],
    )
  })

  const isFailure = (value: string): boolean => value === 'bad'
  for (const [title, last] of [
    ['fails late', Promise.resolve(failed(new Error('aborted')))],
    ['comes late to something that is a failure', Promise.resolve(ok('bad'))],
    ['does not come to anything', never],
  ] as const)
    test(`that ${title} took too long`, async () => {
      for (const onTimeout of [undefined, (ms: number) => ok(`took ${ms}`)]) {
        const { wait, waits } = createWaits()
        const policy = { ...basePolicy, timeoutMs: 50, isFailure, onTimeout }
        const running = executeAttempt(wait, live, policy, (signal) => {
          return new Promise((resolve) => signal.addEventListener('abort', () => resolve(last)))
        })
        waits[0]?.end()
        await settle()
        waits[1]?.end()
        const outcome = await running
        if (onTimeout !== undefined) assert.deepEqual(outcome, ok('took 50'))
        else assert.ok(outcome.status === 'error' && isPerdureError(outcome.error, 'CALL_FAILED'))
      }
    })

  test('ends with the signal of its step, for its reason', async () => {
    const { wait } = createWaits()
    const controller = new AbortController()
    const running = executeAttempt(wait, controller.signal, { ...basePolicy, timeoutMs: 50 }, (signal) => {
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve(failed(signal.reason))))
    })
    controller.abort('cancelled')
    assert.deepEqual(await running, failed('cancelled'))
  })

  test('whatever comes first counts, in every order in which it may come', async () => {
    const scheduled = fc.asyncProperty(fc.scheduler(), fc.boolean(), async (scheduler, isOk) => {
      const outcome = isOk ? ok('done') : failed(new Error('no'))
      let isLate = false
      const wait: Wait = (ms) => scheduler.schedule(Promise.resolve(), `${ms} ms`)
      const running = executeAttempt(wait, live, { ...basePolicy, timeoutMs: 50 }, (signal) => {
        signal.addEventListener('abort', () => {
          isLate = true
        })
        return scheduler.schedule(Promise.resolve(outcome), 'outcome')
      })
      await scheduler.waitAll()
      const settled = await running
      if (settled !== outcome) assert.ok(isLate && settled.status === 'error' && isPerdureError(settled.error, 'CALL_FAILED'))
      else assert.ok(isOk || !isLate, 'a failure after the time is up is not what it came to')
    })
    await fc.assert(scheduled)
  })
})

test('what comes next after an attempt is told by its outcome', () => {
  const policy: StepPolicy<string> = { ...basePolicy, isFailure: (value) => value === 'bad', retry: (attempt) => attempt * 10 }
  assert.equal(toNextDelay(ok('good'), 1, policy), undefined)
  assert.equal(toNextDelay(ok('bad'), 2, policy), 20)
  assert.equal(toNextDelay(failed(new Error('no')), 3, policy), 30)
  assert.equal(toNextDelay(failed(new Error('no')), 3, basePolicy), undefined)
  assert.equal(toNextDelay(ok('bad'), 1, { ...policy, isFailure: undefined }), undefined)
})
