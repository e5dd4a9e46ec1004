/** `flow.sleep` and `flow.sleepUntil`: deadlines that outlive the process (P8). */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Clock, type FlowContext, isPerdureError } from 'perdure'
import { testClock } from 'perdure/testing'
import { createRuntimeRoom, type RecordedRuntime, type RuntimeRoom, toOutline, toStory } from '../support/runtime-room.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const DAY = 24 * 60 * MINUTE

describe('a sleep', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** Resolves when the checkpoint has begun so often: its timer is set in the same turn. */
  const begun = async (runtime: RecordedRuntime, checkpoint: string, times = 1): Promise<void> => {
    const count = () => runtime.events.filter((event) => event.type === 'checkpoint.started' && event.checkpoint === checkpoint)
    const enough = Promise.withResolvers<void>()
    const check = (): void => void (count().length >= times && enough.resolve())
    const subscription = runtime.subscribe(check)
    check()
    await enough.promise
    subscription.unsubscribe()
  }

  /** Runs a flow in a store. `until`: lives until that checkpoint has begun and dies then, else to its end. */
  const live = async <T>(
    directory: string,
    clock: Clock,
    fn: (flow: FlowContext) => Promise<T>,
    during: (runtime: RecordedRuntime) => Promise<unknown> = async () => {},
  ) => {
    const runtime = await room.open(directory, { clock })
    const flow = runtime.flow('flow', (_input: string, context) => fn(context))
    const acting = during(runtime)
    const running = flow.run('input', { id: 'run' }).then(
      (output) => ({ output, error: undefined }),
      (error: unknown) => ({ output: undefined, error }),
    )
    await acting
    const ended = await Promise.race([running, closed(runtime)])
    await runtime.close()
    return { ...(ended ?? (await running)), outline: toOutline(runtime.events), events: runtime.events }
  }
  const closings = new WeakMap<RecordedRuntime, Promise<void>>()
  const closed = async (runtime: RecordedRuntime): Promise<undefined> => {
    await (closings.get(runtime) ?? new Promise(() => {}))
    return undefined
  }
  const die = (runtime: RecordedRuntime): Promise<void> => {
    const closing = runtime.close()
    closings.set(runtime, closing)
    return closing
  }
  /** Dies when the checkpoint has begun and `then` is done. */
  const dieIn =
    (checkpoint: string, then: () => Promise<unknown> = async () => {}) =>
    async (runtime: RecordedRuntime): Promise<void> => {
      await begun(runtime, checkpoint)
      await then()
      await die(runtime)
    }

  test('waits as long as it says', async () => {
    const clock = testClock()
    const start = clock.now()
    const times: number[] = []
    const sleepy = async ({ sleep, sleepUntil }: FlowContext) => {
      await sleep(MINUTE)
      times.push(clock.now() - start)
      await sleepUntil(new Date(start + 2 * MINUTE))
      times.push(clock.now() - start)
      await sleepUntil(start + 3 * MINUTE)
      times.push(clock.now() - start)
    }
    const { outline, events } = await live(room.room.path(), clock, sleepy, async (runtime) => {
      for (const name of ['sleep', 'sleep_2', 'sleep_3']) {
        await begun(runtime, name)
        await clock.advance(MINUTE - 1)
        assert.ok(!toStory(runtime.events).includes(`checkpoint.finished ${name}`))
        await clock.advance(1)
      }
    })
    assert.deepEqual(times, [MINUTE, 2 * MINUTE, 3 * MINUTE])
    assert.deepEqual(outline, ['sleep new', 'sleep_2 new', 'sleep_3 new'])
    const durations = events.map((event) => event.type === 'checkpoint.finished' && event.durationMs).filter(Boolean)
    assert.deepEqual(durations, [MINUTE, MINUTE, MINUTE])
    const end = events.find(({ type }) => type === 'run.completed')
    assert.equal(end?.type === 'run.completed' && end.receipt.spent.durationMs, 0, 'time that passes is not spent')
  })

  test('of no time, or until a time that has passed, is over without the clock', async () => {
    const clock: Clock = { ...testClock(), setTimeout: () => assert.fail('there is nothing to wait for') }
    const { error, outline } = await live(room.room.path(), clock, async ({ sleep, sleepUntil }) => {
      await sleep(0)
      await sleepUntil(clock.now())
      await sleepUntil(new Date(0))
      await Promise.all([sleep(0), sleep(0)])
    })
    assert.equal(error, undefined)
    assert.deepEqual(outline, ['sleep new', 'sleep_2 new', 'sleep_3 new', 'sleep_4 new', 'sleep_5 new'])
  })

  test('keeps its deadline over restarts, and a finished one is over at once', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const start = clock.now()
    let endedAt: number | undefined
    const sleepy = async ({ sleep, sleepUntil }: FlowContext) => {
      await sleep(MINUTE)
      await Promise.all([sleep(10 * MINUTE), sleepUntil(start + 5 * MINUTE)])
      endedAt = clock.now() - start
    }
    const first = await live(directory, clock, sleepy, async (runtime) => {
      await begun(runtime, 'sleep')
      await clock.advance(MINUTE)
      await Promise.all(['sleep_2', 'sleep_3'].map((name) => begun(runtime, name)))
      await clock.advance(2 * MINUTE)
      await die(runtime)
    })
    assert.ok(isPerdureError(first.error, 'ABORTED'))
    assert.equal(clock.pending, 0)
    await clock.advance(MINUTE)
    const second = await live(
      directory,
      clock,
      sleepy,
      dieIn('sleep_3', () => clock.advance(2 * MINUTE)),
    )
    assert.deepEqual(second.outline, ['sleep reused', 'sleep_2 resumed', 'sleep_3 resumed'])
    const third = await live(directory, clock, sleepy, async (runtime) => {
      await begun(runtime, 'sleep_2')
      await clock.advance(5 * MINUTE - 1)
      assert.equal(endedAt, undefined)
      await clock.advance(1)
    })
    assert.equal(endedAt, 11 * MINUTE)
    assert.deepEqual(third.outline.sort(), ['sleep reused', 'sleep_2 resumed', 'sleep_3 reused'])
  })

  test('that is overdue after a restart is over at once', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const sleepy = async ({ sleep, step }: FlowContext) => {
      await sleep(400 * DAY)
      return step('then', () => 'done')
    }
    await live(directory, clock, sleepy, dieIn('sleep'))
    clock.set(clock.now() + 400 * DAY)
    const { output, outline } = await live(directory, clock, sleepy)
    assert.equal(output, 'done')
    assert.deepEqual(outline, ['sleep resumed', 'then new'])
    assert.equal(clock.pending, 0)
  })

  test('lasts for 400 days, and no timeout of the clock overflows', async () => {
    const clock = testClock()
    const start = clock.now()
    let longestMs = 0
    const measured: Clock = {
      ...clock,
      now: clock.now,
      setTimeout(fn, ms) {
        longestMs = Math.max(longestMs, ms)
        return clock.setTimeout(fn, ms)
      },
    }
    let endedAt: number | undefined
    const sleepy = async ({ sleep }: FlowContext) => {
      await sleep(400 * DAY)
      endedAt = clock.now() - start
    }
    await live(room.room.path(), measured, sleepy, async (runtime) => {
      await begun(runtime, 'sleep')
      clock.set(start + 399 * DAY)
      await clock.advance(DAY - 1)
      assert.equal(endedAt, undefined)
      await clock.advance(1)
    })
    assert.equal(endedAt, 400 * DAY)
    assert.ok(longestMs < 2 ** 31)
  })

  test('is not lengthened by a clock that goes back, in one process or between two', async () => {
    const directory = room.room.path()
    const clock = testClock()
    let isOver = false
    const sleepy = async ({ sleep }: FlowContext) => {
      await sleep(10 * MINUTE)
      isOver = true
    }
    await live(
      directory,
      clock,
      sleepy,
      dieIn('sleep', () => clock.advance(MINUTE)),
    )
    clock.set(clock.now() - DAY)
    const { outline } = await live(directory, clock, sleepy, async (runtime) => {
      await begun(runtime, 'sleep')
      await clock.advance(5 * MINUTE)
      clock.set(clock.now() - DAY)
      await clock.advance(5 * MINUTE - 1)
      assert.equal(isOver, false)
      await clock.advance(1)
    })
    assert.equal(isOver, true)
    assert.deepEqual(outline, ['sleep resumed'])
  })

  test('ends within a minute when the clock is put forwards beyond it', async () => {
    const clock = testClock()
    const { error } = await live(
      room.room.path(),
      clock,
      ({ sleep }) => sleep(DAY),
      async (runtime) => {
        await begun(runtime, 'sleep')
        clock.set(clock.now() + 2 * DAY)
        await clock.advance(MINUTE)
      },
    )
    assert.equal(error, undefined)
  })

  test('until a time asks what time it is: after a restart with a clock that was put back it waits for its time', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const until = clock.now() + 10 * MINUTE
    let endedAt: number | undefined
    const sleepy = async ({ sleepUntil }: FlowContext) => {
      await sleepUntil(until)
      endedAt = clock.now()
    }
    await live(directory, clock, sleepy, dieIn('sleep'))
    clock.set(clock.now() - 60 * MINUTE)
    await live(directory, clock, sleepy, async (runtime) => {
      await begun(runtime, 'sleep')
      await clock.advance(70 * MINUTE)
    })
    assert.equal(endedAt, until)
  })

  test('of another duration starts over when it has not ended; what comes after one that has is not touched', async () => {
    const directory = room.room.path()
    const clock = testClock()
    let count = 0
    const sleepy =
      (first: number, second: number) =>
      async ({ sleep, step }: FlowContext) => {
        await sleep(first)
        await step('between', () => ++count)
        await sleep(second)
      }
    await live(directory, clock, sleepy(MINUTE, 5 * MINUTE), async (runtime) => {
      await begun(runtime, 'sleep')
      await clock.advance(MINUTE)
      await begun(runtime, 'sleep_2')
      await clock.advance(4 * MINUTE)
      await die(runtime)
    })
    const changed = sleepy(2 * MINUTE, 3 * MINUTE)
    const second = await live(
      directory,
      clock,
      changed,
      dieIn('sleep_2', () => clock.advance(2 * MINUTE)),
    )
    assert.deepEqual(second.outline, ['sleep reused', 'between reused', 'sleep_2 changed'])
    const third = await live(directory, clock, changed, async (runtime) => {
      await begun(runtime, 'sleep_2')
      await clock.advance(MINUTE - 1)
      assert.ok(!toStory(runtime.events).includes('checkpoint.finished sleep_2'))
      await clock.advance(1)
    })
    assert.deepEqual(third.outline, ['sleep reused', 'between reused', 'sleep_2 resumed'])
    assert.equal(count, 1)
  })

  test('that becomes one until a time is another', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const start = clock.now()
    await live(directory, clock, ({ sleep }) => sleep(start + DAY), dieIn('sleep'))
    await live(directory, clock, ({ sleepUntil }) => sleepUntil(start + DAY), dieIn('sleep'))
    const { error, outline } = await live(directory, clock, ({ sleepUntil }) => sleepUntil(start))
    assert.equal(error, undefined)
    assert.deepEqual(outline, ['sleep changed'])
  })

  test('after a checkpoint that executes again is slept again', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const sleepy =
      (fails: boolean) =>
      async ({ sleep }: FlowContext) => {
        await sleep(MINUTE)
        if (fails) throw new Error('on purpose')
      }
    const pass = async (runtime: RecordedRuntime): Promise<void> => {
      await begun(runtime, 'sleep')
      await clock.advance(MINUTE)
    }
    await live(directory, clock, sleepy(true), pass)
    assert.deepEqual((await live(directory, clock, sleepy(true))).outline, ['sleep reused'])
    const runtime = await room.open(directory, { clock })
    const flow = runtime.flow('flow', (_input: string, context) => sleepy(false)(context))
    const passed = pass(runtime)
    const run = flow.run('input', { id: 'run', cache: false })
    await passed
    await run
    assert.deepEqual(toOutline(runtime.events), ['sleep no-cache'])
    await runtime.close()
  })

  test('is ended by the signal of its run, leaves no timer behind, and its deadline is kept', async () => {
    const clock = testClock()
    const runtime = await room.open(undefined, { clock })
    const flow = runtime.flow('flow', async (_input: undefined, { sleep }) => {
      await Promise.all([sleep(MINUTE), sleep(2 * MINUTE)])
      return 'slept'
    })
    const ending = new AbortController()
    const asleep = begun(runtime, 'sleep_2')
    const run = flow.run(undefined, { id: 'run', signal: ending.signal })
    const refused = assert.rejects(run, (error) => isPerdureError(error, 'ABORTED'))
    await asleep
    assert.equal(clock.pending, 1)
    ending.abort()
    await refused
    assert.equal(clock.pending, 0)
    await clock.advance(90 * SECOND)
    const again = begun(runtime, 'sleep_2', 2)
    const second = flow.run(undefined, { id: 'run' })
    await again
    await clock.advance(30 * SECOND)
    assert.equal(await second, 'slept')
    await runtime.close()
  })

  test('that its run did not wait for ends with it', async () => {
    const clock = testClock()
    const runtime = await room.open(undefined, { clock })
    const end = Promise.withResolvers<unknown>()
    const flow = runtime.flow('flow', async (_input: undefined, { sleep, step }) => {
      sleep(DAY).catch(end.resolve)
      await step('quick', () => {})
      await step('quick', () => {})
    })
    await flow.run(undefined)
    assert.ok(isPerdureError(await end.promise, 'FLOW_ENDED'))
    assert.equal(clock.pending, 0)
    await runtime.close()
  })

  test('is none of a step, which may have its name', async () => {
    const runtime = await room.open(undefined, { clock: testClock() })
    const flow = runtime.flow('flow', async (_input: undefined, { sleep, sleepUntil, step }) => {
      const codes: unknown[] = []
      const note = (error: unknown): void => void codes.push(isPerdureError(error) && error.code)
      await step('sleep', async () => {
        await sleep(0).catch(note)
        await sleepUntil(0).catch(note)
      })
      await sleep(0)
      return [...codes, await step('sleep', () => 'step')]
    })
    assert.deepEqual(await flow.run(undefined), ['STEP_NESTED', 'STEP_NESTED', 'step'])
    await runtime.close()
  })

  test('refuses what is no duration and no time', async () => {
    const clock = testClock()
    const text = '5' as unknown as number // what a caller without types may pass
    for (const fn of [
      ({ sleep }: FlowContext) => sleep(-1),
      ({ sleep }: FlowContext) => sleep(Number.NaN),
      ({ sleep }: FlowContext) => sleep(Infinity),
      ({ sleep }: FlowContext) => sleep(text),
      ({ sleepUntil }: FlowContext) => sleepUntil(text),
      ({ sleepUntil }: FlowContext) => sleepUntil(new Date(Number.NaN)),
      ({ sleepUntil }: FlowContext) => sleepUntil(Infinity),
    ]) {
      const { error, outline } = await live(room.room.path(), clock, fn)
      assert.ok(error instanceof TypeError, String(error))
      assert.match(error.message, /^Expected `(ms|time)` of `flow\.sleep/)
      assert.deepEqual(outline, [])
    }
  })

  test('lets its run end when it ends: that time is recorded, and taken back when the run is begun again', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const start = clock.now()
    const ends = async (runtime: RecordedRuntime): Promise<[string, number | undefined][]> => {
      const all: [string, number | undefined][] = []
      for await (const { status, endedAt } of runtime.runs())
        all.push([status, endedAt === undefined ? undefined : endedAt - start])
      return all
    }
    const runtime = await room.open(directory, { clock })
    let fails = true
    const flow = runtime.flow('flow', async (_input: undefined, { sleep }) => {
      await sleep(MINUTE)
      if (fails) throw new Error('on purpose')
      await sleep(MINUTE)
    })
    const asleep = begun(runtime, 'sleep')
    const first = flow.run(undefined, { id: 'run' })
    const failed = assert.rejects(first, { message: 'on purpose' })
    await asleep
    assert.deepEqual(await ends(runtime), [['running', undefined]])
    await clock.advance(MINUTE)
    await failed
    assert.deepEqual(await ends(runtime), [['failed', MINUTE]])

    fails = false
    const again = begun(runtime, 'sleep_2')
    const second = flow.run(undefined, { id: 'run' })
    await again
    assert.deepEqual(await ends(runtime), [['running', undefined]])
    await clock.advance(MINUTE)
    await second
    assert.deepEqual(await ends(runtime), [['completed', 2 * MINUTE]])
    await runtime.close()
  })
})
