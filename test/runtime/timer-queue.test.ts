/** All deadlines of a process behind one timeout (P8). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { type TestClock, testClock } from 'perdure/testing'
import type { Clock } from '../../src/runtime/clock.ts'
import { createTimerQueue, type TimerHandle, type TimerQueue } from '../../src/runtime/timer-queue.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A queue on a clock at 0, and what fired with the time that had passed by then. */
function createScene() {
  const clock = testClock({ now: 0 })
  const queue = createTimerQueue(clock)
  const fired: [string, number][] = []
  let passedMs = 0
  const note = (name: string) => (): void => void fired.push([name, clock.now()])
  return {
    clock,
    queue,
    fired,
    note,
    set: (name: string, dueAt: number) => queue.set(dueAt, note(name)),
    /** Moves the clock by `ms` in small pieces; what fires is noted with the time that really passed, within a second. */
    async live(ms: number) {
      const end = passedMs + ms
      while (passedMs < end) {
        const before = fired.length
        const piece = Math.min(1000, end - passedMs)
        await clock.advance(piece)
        passedMs += piece
        for (const entry of fired.slice(before)) entry[1] = passedMs
      }
    },
  }
}

describe('a queue of timers', () => {
  test('fires in the order of the deadlines, then of setting, each once', async () => {
    const { clock, queue, fired, set } = createScene()
    set('c', 300)
    set('a', 100)
    set('b', 200)
    set('b2', 200)
    const cleared = set('never', 150)
    queue.clear(cleared)
    queue.clear(cleared)
    await clock.advance(1000)
    assert.deepEqual(fired, [
      ['a', 100],
      ['b', 200],
      ['b2', 200],
      ['c', 300],
    ])
    assert.equal(clock.pending, 0)
  })

  test('fires what is overdue at once, but not before `set` returns', async () => {
    const { clock, fired, set } = createScene()
    set('second', -1)
    set('first', -DAY)
    set('third', 0)
    assert.equal(fired.length, 0)
    await clock.advance(0)
    assert.deepEqual(
      fired.map(([name]) => name),
      ['first', 'second', 'third'],
    )
  })

  test('has one timeout of the clock, whatever is set, and none when nothing is', async () => {
    const { clock, queue, set } = createScene()
    const handles = [5, 4, 3, 2, 1, 6].map((hours) => set(String(hours), hours * HOUR))
    assert.equal(clock.pending, 1)
    await clock.advance(10 * MINUTE)
    assert.equal(clock.pending, 1)
    for (const handle of handles) queue.clear(handle)
    assert.equal(clock.pending, 0)
  })

  test('waits for 400 days and never asks the clock for more than a minute', async () => {
    let longestMs = 0
    const clock = testClock({ now: 0 })
    const measured: Clock = {
      ...clock,
      now: clock.now,
      setTimeout(fn, ms) {
        longestMs = Math.max(longestMs, ms)
        return clock.setTimeout(fn, ms)
      },
    }
    const queue = createTimerQueue(measured)
    let firedAt: number | undefined
    queue.set(400 * DAY + 1, () => {
      firedAt = clock.now()
    })
    queue.set(Infinity, () => assert.fail('that is never'))
    clock.set(399 * DAY)
    await clock.advance(DAY)
    assert.equal(firedAt, undefined)
    await clock.advance(1)
    assert.equal(firedAt, 400 * DAY + 1)
    assert.equal(longestMs, MINUTE)
    queue.close()
    assert.equal(clock.pending, 0)
  })

  test('notices within a minute that the clock has jumped forwards', async () => {
    const { clock, fired, set } = createScene()
    set('a', 2 * DAY)
    set('b', DAY)
    await clock.advance(1000)
    clock.set(3 * DAY)
    await clock.advance(MINUTE)
    assert.deepEqual(
      fired.map(([name]) => name),
      ['b', 'a'],
    )
  })

  test('notices it at once when it is used', async () => {
    const { clock, fired, set } = createScene()
    set('a', DAY)
    clock.set(2 * DAY)
    set('b', 3 * DAY)
    await clock.advance(0)
    assert.deepEqual(fired, [['a', 2 * DAY]])
  })

  test('what is set after the clock has jumped forwards is not late', async () => {
    for (const jumpMs of [50_000, 65_000]) {
      const { clock, fired, queue, set } = createScene()
      set('first', 70_000)
      clock.set(jumpMs)
      set('later', queue.now() + 20_000)
      await clock.advance(20_000)
      assert.deepEqual(
        fired.map(([name]) => name),
        ['first', 'later'],
      )
    }
  })

  test('is not delayed by a clock that goes back', async () => {
    const { clock, live, fired, set } = createScene()
    set('ten minutes', 10 * MINUTE)
    set('half a second', 500)
    set('two hours', 2 * HOUR)
    await clock.advance(0)
    clock.set(-DAY)
    await live(3 * HOUR)
    assert.deepEqual(fired, [
      ['half a second', 1000],
      ['ten minutes', 10 * MINUTE],
      ['two hours', 2 * HOUR],
    ])
  })

  test('is not delayed by a clock that goes back by less than a second', async () => {
    const { clock, fired, set } = createScene()
    set('a', 1000)
    await clock.advance(500)
    clock.set(clock.now() - 900)
    await clock.advance(499)
    assert.deepEqual(fired, [])
    await clock.advance(1)
    assert.deepEqual(fired, [['a', 100]])
  })

  test('is not delayed by more than a minute when it is used while the clock goes back', async () => {
    const { clock, live, fired, queue, set } = createScene()
    set('hour', HOUR)
    await live(30_000)
    clock.set(-DAY)
    set('soon', queue.now() + 1000)
    await live(2 * HOUR)
    const [soon, hour] = fired
    assert.deepEqual(soon, ['soon', 31_000])
    assert.equal(hour?.[0], 'hour')
    assert.ok(hour[1] >= HOUR && hour[1] <= HOUR + MINUTE, String(hour[1]))
  })

  test('what is set after the clock went back is not early', async () => {
    const { clock, live, fired, queue, set } = createScene()
    set('hour', HOUR)
    await live(50_000)
    clock.set(-DAY)
    set('soon', queue.now() + 70_000)
    await live(2 * HOUR)
    assert.deepEqual(fired[0], ['soon', 120_000])
  })

  test('a clock that goes back and is corrected fires nothing early', async () => {
    const { clock, live, fired, set } = createScene()
    set('three hours', 3 * HOUR)
    await live(10 * MINUTE)
    clock.set(clock.now() - HOUR)
    await live(10 * MINUTE)
    clock.set(clock.now() + HOUR)
    await live(3 * HOUR)
    assert.deepEqual(fired, [['three hours', 3 * HOUR]])
  })

  test('timeouts that come late do not add up', async () => {
    const clock = testClock({ now: 0 })
    const queue = createTimerQueue({ ...clock, now: clock.now, setTimeout: (fn, ms) => clock.setTimeout(fn, ms + 20) })
    const fired = Promise.withResolvers<number>()
    queue.set(HOUR, () => fired.resolve(clock.now()))
    await clock.advance(HOUR + 20)
    assert.equal(await fired.promise, HOUR + 20)
  })

  test('what is set while others fire comes in the next pass; what is cleared does not come', async () => {
    const { clock, queue, fired, note, set } = createScene()
    let cleared: TimerHandle | undefined
    let setAndCleared: TimerHandle | undefined
    queue.set(100, () => {
      fired.push(['first', clock.now()])
      set('overdue', -1)
      setAndCleared = queue.set(-2, note('never'))
      if (cleared !== undefined) queue.clear(cleared)
      queue.set(100, () => setAndCleared && queue.clear(setAndCleared))
    })
    cleared = set('never', 100)
    set('second', 100)
    queue.set(100, () => setAndCleared && queue.clear(setAndCleared))
    await clock.advance(100)
    assert.deepEqual(fired, [
      ['first', 100],
      ['second', 100],
      ['overdue', 100],
    ])
  })

  test('one that throws does not stop the others', async (t) => {
    const { clock, queue, fired, set } = createScene()
    const errors: unknown[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => errors.push(error))
    t.after(() => {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    })
    const error = new Error('on purpose')
    queue.set(1, () => {
      throw error
    })
    set('other', 1)
    set('later', 2)
    await clock.advance(2)
    assert.deepEqual(
      fired.map(([name]) => name),
      ['other', 'later'],
    )
    assert.deepEqual(errors, [error])
  })

  test('fires nothing after it was closed, also when that is in the middle of a pass', async () => {
    const { clock, queue, fired, set } = createScene()
    queue.set(1, () => queue.close())
    set('same pass', 1)
    const later = set('later', 2)
    await clock.advance(10)
    queue.clear(later)
    set('after', 0)
    await clock.advance(10)
    assert.deepEqual(fired, [])
    assert.equal(clock.pending, 0)
  })

  test('holds 100,000, and lets go of what was cleared', async () => {
    const { clock, queue } = createScene()
    let count = 0
    const handles = Array.from({ length: 100_000 }, (_, index) => queue.set(((index * 7919) % 100_000) + 1, () => void count++))
    const refs = handles.filter((_, index) => index % 2 === 0).map((handle) => new WeakRef(handle))
    for (const [index, handle] of handles.entries()) if (index % 2 === 0) queue.clear(handle)
    handles.length = 0
    await clock.advance(0)
    setFlagsFromString('--expose-gc')
    runInNewContext('gc')()
    assert.ok(refs.filter((ref) => ref.deref() !== undefined).length < 10, 'cleared timers are still held')
    clock.set(100_000)
    await clock.advance(MINUTE)
    assert.equal(count, 50_000)
    assert.equal(clock.pending, 0)
  })

  test('refuses a clock that tells no time, and a deadline that is none', async () => {
    let time = Number.NaN
    const clock: Clock = { now: () => time, setTimeout: () => assert.fail('nothing is set'), clearTimeout: () => {} }
    for (const wrong of [Number.NaN, Infinity, -Infinity, undefined as unknown as number]) {
      time = wrong
      assert.throws(() => createTimerQueue(clock), TypeError)
      time = 0
      const queue = createTimerQueue(clock)
      time = wrong
      assert.throws(() => queue.set(1, () => {}), { name: 'TypeError', message: /`clock\.now\(\)`/ })
      assert.throws(() => queue.now(), TypeError)
    }
    const { queue } = createScene()
    assert.throws(() => queue.set(Number.NaN, () => {}), TypeError)
    assert.throws(() => queue.set('1' as unknown as number, () => {}), TypeError)
  })

  test('a deadline whose clock was refused does not fire later', async () => {
    const clock = testClock({ now: 0 })
    let isBroken = false
    const queue = createTimerQueue({ ...clock, now: () => (isBroken ? Number.NaN : clock.now()) })
    isBroken = true
    assert.throws(() => queue.set(1, () => assert.fail('it was refused')))
    isBroken = false
    const fired = Promise.withResolvers<void>()
    queue.set(2, fired.resolve)
    await clock.advance(2)
    await fired.promise
  })
})

type Action =
  | { readonly set: number }
  | { readonly clear: number }
  | { readonly live: number }
  | { readonly jump: number }
  | { readonly look: true }

/** Delays that are near enough to each other that they meet. */
const delayMs = fc.oneof(fc.integer({ min: -5, max: 20 }), fc.integer({ min: -MINUTE, max: 5 * MINUTE }))
const livedMs = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 3 * MINUTE }))
const used: fc.Arbitrary<Action>[] = [
  fc.record({ set: delayMs }),
  fc.record({ clear: fc.nat({ max: 50 }) }),
  fc.record({ live: livedMs }),
  fc.constant({ look: true }),
]
const forwards = fc.record({ jump: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.integer({ min: 0, max: HOUR })) })
const back = forwards.map(({ jump }) => ({ jump: -jump }))

interface Model {
  readonly dueAt: number
  readonly order: number
  readonly handle: TimerHandle
  /** By how much it was to come later, and what had passed when it was set. */
  readonly delayMs: number
  readonly setAtMs: number
  /** How often the clock had gone back by then. */
  readonly backs: number
}

/** A list of timers beside the queue, of which nothing is known but that it must fire each of them. */
class Scene {
  readonly clock: TestClock = testClock({ now: 1_000_000 })
  readonly queue: TimerQueue = createTimerQueue(this.clock)
  readonly pending = new Set<Model>()
  readonly sets: Model[] = []
  passedMs = 0
  backs = 0
  /** What is to hold at each `fire`. */
  readonly onFire: (timer: Model) => void
  #since = { time: 1_000_000, passedMs: 0 }
  #latest = -Infinity
  readonly #errors: unknown[] = []

  constructor(onFire: (scene: Scene, timer: Model) => void) {
    const check = (timer: Model): void => {
      // Each piece of `live` may fire in its middle: the clock says where.
      this.passedMs = this.#since.passedMs + this.clock.now() - this.#since.time
      assert.ok(this.pending.delete(timer), 'it fires once, and not when it was cleared')
      for (const other of this.pending)
        assert.ok(timer.dueAt < other.dueAt || (timer.dueAt === other.dueAt && timer.order < other.order), 'in order')
      assert.ok(this.queue.now() >= timer.dueAt, 'not before its time')
      onFire(this, timer)
    }
    this.onFire = (timer) => {
      try {
        check(timer)
      } catch (error) {
        this.#errors.push(error)
      }
    }
  }

  async do(action: Action): Promise<void> {
    const { clock, queue, pending, sets } = this
    if ('set' in action) {
      const { set: delayMs } = action
      const dueAt = this.#look() + delayMs
      const handle = queue.set(dueAt, () => this.onFire(timer))
      const timer: Model = { dueAt, order: sets.length, handle, delayMs, setAtMs: this.passedMs, backs: this.backs }
      pending.add(timer)
      sets.push(timer)
    } else if ('clear' in action) {
      const timer = sets[action.clear]
      if (timer === undefined) return
      pending.delete(timer)
      queue.clear(timer.handle)
    } else if ('look' in action) this.#look()
    else if ('jump' in action) {
      if (action.jump < 0) this.backs++
      clock.set(clock.now() + action.jump)
    } else {
      this.#since = { time: clock.now(), passedMs: this.passedMs }
      await clock.advance(action.live)
      this.passedMs = this.#since.passedMs + action.live
    }
    if (this.#errors.length > 0) throw this.#errors[0]
    assert.ok(clock.pending <= 1)
  }

  #look(): number {
    const time = this.queue.now()
    assert.ok(time >= this.#latest && time >= this.clock.now(), 'time does not go back, and is not behind the clock')
    this.#latest = time
    return time
  }
}

describe('a queue of timers, and a list of them', () => {
  const runs = { numRuns: 500 }

  test('agree on the time of each when the clock does not jump', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(...used), { maxLength: 40 }), async (actions) => {
        const scene = new Scene(({ passedMs }, { setAtMs, delayMs }) => assert.equal(passedMs, setAtMs + Math.max(0, delayMs)))
        for (const action of actions) await scene.do(action)
        await scene.do({ live: 5 * MINUTE })
        assert.deepEqual([scene.pending.size, scene.clock.pending], [0, 0])
      }),
      runs,
    ))

  test('agree when it jumps forwards: nothing fires early, and all within a minute', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(...used, forwards), { maxLength: 40 }), async (actions) => {
        const scene = new Scene(({ clock }, { dueAt }) => assert.ok(clock.now() >= dueAt))
        for (const action of actions) {
          const overdue = [...scene.pending].filter(({ dueAt }) => dueAt <= scene.clock.now())
          await scene.do(action)
          if ('live' in action && action.live >= MINUTE)
            for (const timer of overdue) assert.ok(!scene.pending.has(timer), 'it was overdue for a minute')
        }
        await scene.do({ live: 5 * MINUTE })
        assert.equal(scene.pending.size, 0)
      }),
      runs,
    ))

  test('agree when it goes back: nothing fires early, and no jump delays anything by itself', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(...used, back), { maxLength: 40 }), async (actions) => {
        const scene = new Scene(({ passedMs }, { setAtMs, delayMs }) => assert.ok(passedMs >= setAtMs + delayMs - 1000, 'early'))
        for (const action of actions) {
          await scene.do(action)
          assertNoneIsLate(scene)
        }
        scene.queue.close()
      }),
      runs,
    ))

  test('agree when it jumps both ways: nothing is lost or late', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(...used, forwards, back), { maxLength: 40 }), async (actions) => {
        const scene = new Scene(() => {})
        for (const action of actions) {
          await scene.do(action)
          assertNoneIsLate(scene)
        }
        await scene.do({ live: (5 + 2 * scene.backs) * MINUTE })
        assert.deepEqual([scene.pending.size, scene.clock.pending], [0, 0])
      }),
      runs,
    ))
})

/** What had passed since the clock was last looked at may be waited for twice, each time that it goes back. */
function assertNoneIsLate({ pending, passedMs, backs }: Scene): void {
  for (const timer of pending) {
    const lateMs = passedMs - timer.setAtMs - Math.max(0, timer.delayMs)
    const allowedMs = (backs - timer.backs) * (MINUTE + 1000) + 1000
    assert.ok(lateMs <= allowedMs, `${lateMs} ms late after ${backs - timer.backs} jumps`)
  }
}
