import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type CrashSubject, exploreCrashes } from 'perdure/testing'
import { nothing, toCounts } from '../support/explore-found.ts'

const toFlow =
  (fn: () => unknown): CrashSubject =>
  async (life) => {
    const runtime = await life.open()
    return await runtime.flow('flow', async (_, { step }) => step('step', fn)).run(1)
  }

describe('exploreCrashes refuses a subject', () => {
  test('that does something else each time', async () => {
    await assert.rejects(exploreCrashes(toFlow(() => Math.random())), /does not do the same each time.*its end differs/)
  })

  test('that sees another effect each time', async () => {
    let calls = 0
    const subject: CrashSubject = async (life) => {
      const runtime = await life.open()
      const flow = runtime.flow('flow', async (_, { step }) => step('step', () => life.outside.effect(`effect ${++calls}`)))
      await flow.run(1)
    }
    await assert.rejects(exploreCrashes(subject), /does not do the same each time.*its effects differ/)
  })

  test('that fails by itself, with its error as the cause', async () => {
    const failure = new RangeError('out of tea')
    const promise = exploreCrashes(() => Promise.reject(failure))
    await assert.rejects(
      promise,
      ({ message, cause }: Error) => /fails without any death: out of tea/.test(message) && cause === failure,
    )
  })

  test('that is stuck by itself, at once', async () => {
    const startedAt = performance.now()
    await assert.rejects(
      exploreCrashes(() => new Promise(() => {})),
      /stuck without any death/,
    )
    assert.ok(performance.now() - startedAt < 9_000, 'it does not wait for `timeoutMs`')
  })

  test('that comes to no end', async () => {
    let ended: Promise<void> | undefined
    const work = async (): Promise<void> => {
      for (let turn = 0; turn < 50; turn++) await delay(5)
    }
    const subject: CrashSubject = () => {
      ended = work()
      return ended
    }
    await assert.rejects(exploreCrashes(subject, { timeoutMs: 50 }), /comes to no end in time/)
    await ended // it does not leave its timers to the tests that follow
  })

  test('that writes nothing', async () => {
    await assert.rejects(
      exploreCrashes(async (life) => void (await life.open())),
      /writes nothing/,
    )
  })

  test('that opens two runtimes in one life', async () => {
    const subject: CrashSubject = async (life) => {
      await life.open()
      await life.open()
    }
    await assert.rejects(exploreCrashes(subject), /opens its runtime once/)
  })

  test('that is no function, or a module without one', async () => {
    await assert.rejects(
      exploreCrashes('order' as never),
      /^TypeError: Expected the subject to be a function, got `order` \(string\)/,
    )
    const module = new URL('../support/explore-found.ts', import.meta.url)
    await assert.rejects(exploreCrashes(module), /^TypeError: Expected the module file:.* to export a function `subject`/)
  })
})

describe('exploreCrashes refuses options', () => {
  const step = toFlow(() => 1)
  for (const [options, message] of [
    [{ schedule: '4' }, /Expected `schedule` to be deaths such as '4\+ 2-', got `4`/],
    [{ schedule: '0+' }, /Expected `schedule`/],
    [{ schedule: '' }, /Expected `schedule`/],
    [{ schedule: '12.5ms' }, /at an instant only a process dies/],
    [{ pairs: -1 }, /Expected `pairs` to be an integer ≥ 0/],
    [{ timeoutMs: 0 }, /Expected `timeoutMs` to be an integer ≥ 1/],
    [{ instants: 3 }, /Expected `instants` to be 0 without `process: true`/],
    [{ process: true }, /to be the URL of a module/],
  ] as const) {
    test(JSON.stringify(options), async () => {
      await assert.rejects(exploreCrashes(step, options), (error) => error instanceof TypeError && message.test(error.message))
    })
  }
})

test('a subject may wait for the real world: files, and timers of the system', async () => {
  const report = await exploreCrashes(
    toFlow(async () => {
      await delay(3)
      return (await readFile(new URL(import.meta.url), 'utf8')).length
    }),
    { pairs: 3 },
  )
  assert.deepEqual(toCounts(report), nothing)
})

test('no deadline comes while a subject waits for the real world', async () => {
  const subject: CrashSubject = async (life) => {
    const runtime = await life.open()
    const flow = runtime.flow('flow', async (_, { step }) => step('slow', () => delay(10, 'in time'), { timeoutMs: 60_000 }))
    return await flow.run(1)
  }
  assert.deepEqual(toCounts(await exploreCrashes(subject, { pairs: 3 })), nothing)
})

test('what a dead life waits for in the real world is not taken for what the next one does', async () => {
  const subject: CrashSubject = async (life) => {
    if (life.number === 1) void delay(15)
    const runtime = await life.open()
    const flow = runtime.flow('flow', async (_, { step }) => step('slow', () => delay(30, 'in time'), { timeoutMs: 60_000 }))
    return await flow.run(1)
  }
  assert.deepEqual(toCounts(await exploreCrashes(subject, { schedule: '1-' })), nothing)
})

test('a schedule has the same random numbers each time it is played, and each life has its own', async () => {
  const play = async (): Promise<number[]> => {
    const drawn: number[] = []
    const subject: CrashSubject = async (life) => {
      drawn.push(Math.random())
      return await toFlow(() => 1)(life)
    }
    await exploreCrashes(subject, { schedule: '2+' })
    return drawn.slice(-2)
  }
  const [first = [], second] = [await play(), await play()]
  assert.deepEqual(second, first)
  assert.notEqual(first[0], first[1])
})

test('what `Math.random` was is what it is afterwards', async () => {
  const { random } = Math
  await exploreCrashes(
    toFlow(() => 1),
    { pairs: 0 },
  )
  assert.equal(Math.random, random)
})
