import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { testClock } from 'perdure/testing'
import { createActor, createMachine } from 'xstate'

describe('a test clock', () => {
  it('stands still until it is moved', () => {
    const clock = testClock({ now: 5 })
    assert.deepEqual([clock.now(), clock.now(), clock.pending], [5, 5, 0])
    assert.equal(testClock().now(), Date.UTC(2030, 0, 1))
  })

  it('calls timeouts in order, each at its own time, equal ones as they were set', async () => {
    const clock = testClock({ now: 1000 })
    const calls: [string, number][] = []
    for (const [name, ms] of [
      ['late', 300],
      ['a', 100],
      ['b', 100],
      ['beyond', 301],
    ] as const)
      clock.setTimeout(() => calls.push([name, clock.now()]), ms)
    await clock.advance(300)
    assert.deepEqual(calls, [
      ['a', 1100],
      ['b', 1100],
      ['late', 1300],
    ])
    assert.deepEqual([clock.now(), clock.pending], [1300, 1])
  })

  it('calls what was set on the way, also after promises, and not what was cleared', async () => {
    const clock = testClock({ now: 0 })
    const times: number[] = []
    const wait = (ms: number) => new Promise<void>((resolve) => void clock.setTimeout(resolve, ms))
    const cleared = clock.setTimeout(() => assert.fail('it was cleared'), 15)
    const loop = (async () => {
      for (let round = 0; round < 3; round++) {
        await wait(10)
        clock.clearTimeout(cleared)
        await new Promise((resolve) => setImmediate(resolve))
        times.push(clock.now())
      }
    })()
    await clock.advance(30)
    assert.deepEqual(times, [10, 20, 30])
    await loop
    assert.equal(clock.pending, 0)
  })

  it('lets no time pass when it is put forwards or back', async () => {
    const clock = testClock({ now: 1000 })
    const times: number[] = []
    clock.setTimeout(() => times.push(clock.now()), 100)
    await clock.advance(40)
    clock.set(0)
    await clock.advance(59)
    assert.equal(times.length, 0)
    await clock.advance(1)
    clock.setTimeout(() => times.push(clock.now()), 100)
    clock.set(1_000_000)
    await clock.advance(0)
    assert.deepEqual(times, [60])
    await clock.advance(100)
    assert.deepEqual(times, [60, 1_000_100])
  })

  it('calls a timeout of 0 by itself, and not before it was set', async () => {
    const clock = testClock({ now: 7 })
    const called = Promise.withResolvers<number>()
    let wasCalled = false
    clock.setTimeout(() => {
      wasCalled = true
      called.resolve(clock.now())
    }, 0)
    assert.equal(wasCalled, false)
    assert.equal(await called.promise, 7)
    clock.clearTimeout(clock.setTimeout(() => assert.fail('it was cleared'), 0))
    await clock.advance(1)
  })

  it('moves once at a time', async () => {
    const clock = testClock({ now: 0 })
    const times: number[] = []
    for (const ms of [10, 20]) clock.setTimeout(() => times.push(clock.now()), ms)
    await Promise.all([clock.advance(15), clock.advance(15)])
    assert.deepEqual([...times, clock.now()], [10, 20, 30])
  })

  it('rejects with what a timeout throws, and can be moved on', async () => {
    const clock = testClock({ now: 0 })
    clock.setTimeout(() => {
      throw new Error('on purpose')
    }, 10)
    const later = Promise.withResolvers<void>()
    clock.setTimeout(later.resolve, 20)
    await assert.rejects(clock.advance(100), { message: 'on purpose' })
    assert.equal(clock.now(), 10)
    await clock.advance(10)
    await later.promise
  })

  it('is a clock for XState', async () => {
    const clock = testClock()
    const machine = createMachine({ initial: 'a', states: { a: { after: { 1000: 'b' } }, b: { after: { 1000: 'c' } }, c: {} } })
    const actor = createActor(machine, { clock }).start()
    await clock.advance(1999)
    assert.equal(actor.getSnapshot().value, 'b')
    await clock.advance(1)
    assert.equal(actor.getSnapshot().value, 'c')
    actor.stop()
  })

  it('refuses what is no time', async () => {
    const text = '5' as unknown as number // what a caller without types may pass
    for (const now of [Number.NaN, Infinity, text]) {
      assert.throws(() => testClock({ now }), TypeError)
      assert.throws(() => testClock().set(now), TypeError)
      await assert.rejects(testClock().advance(now), TypeError)
    }
    await assert.rejects(testClock().advance(-1), { message: 'Expected `ms` to be a finite number ≥ 0, got `-1` (number)' })
  })
})
