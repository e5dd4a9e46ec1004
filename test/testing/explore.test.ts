/** P1, P2, P3, P5 and P8 as a user checks them; here: that the explorer dies where it says, and finds what is planted. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buildAgent, isPerdureError, tool } from 'perdure'
import { type CrashSubject, exploreCrashes } from 'perdure/testing'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { subject as careless } from '../support/explore-careless.ts'
import { findCrashes, nothing, toCounts } from '../support/explore-found.ts'
import { subject as order } from '../support/explore-order.ts'

describe('exploreCrashes', () => {
  test('lets a program die before and after each of its writes, and again while it recovers', async () => {
    const report = await exploreCrashes(order, { pairs: 40, triples: 20 })
    const { writes, scenarios, deaths, inDoubt, failures } = report
    assert.equal(writes, 8)
    assert.equal(scenarios, 2 * writes + 40 + 20)
    assert.equal(deaths, 2 * writes + 40 * 2 + 20 * 3)
    assert.deepEqual({ ...toCounts(report), failures }, { ...nothing, failures: [] })
    assert.ok(inDoubt > 0, 'some deaths come while a step is in flight')
  })

  test('says what was counted as a table', async () => {
    const report = await exploreCrashes(order, { name: 'order', pairs: 0 })
    assert.match(String(report), /^order \(seed 1, \d+\.\d s\)\n {2}durable writes +8\n {2}crash scenarios +16\n/)
    assert.match(String(report), /\n {2}effects doubled +0\n/)
  })

  test('plays all pairs when they are asked for', async () => {
    const [all, one] = [await exploreCrashes(order, { pairs: Infinity }), await exploreCrashes(order, { pairs: 0 })]
    assert.ok(all.scenarios > 4 * one.scenarios, `${all.scenarios} schedules`)
  })

  test('finds an effect outside of a step, says the shortest schedule, and plays it again', async () => {
    const report = await findCrashes(careless)
    const [first] = report.failures
    assert.ok(report.doubledEffects > 0)
    assert.deepEqual(first, { schedule: '4-', problems: ['The outside saw the effect `parcel` 2 times instead of once.'] })
    const again = await findCrashes(careless, { schedule: '4-' })
    assert.deepEqual(again.failures, [first])
    assert.equal(again.scenarios, 1)
    await assert.rejects(exploreCrashes(careless, { pairs: 0 }), ({ message }: Error) => {
      assert.match(message, /^Crashes break `subject`: \d+ of 12 schedules/)
      assert.match(message, /exploreCrashes\(subject, \{ schedule: '4-' \}\)/)
      assert.match(message, /\n {2}effects doubled +\d+\n/)
      return true
    })
  })

  test('draws the same schedules for the same seed', async () => {
    const toSchedules = async (seed: number) =>
      (await findCrashes(careless, { pairs: 30, seed })).failures.map(({ schedule }) => schedule)
    const [one, same, other] = [await toSchedules(7), await toSchedules(7), await toSchedules(8)]
    assert.deepEqual(same, one)
    assert.notDeepEqual(other, one)
  })

  test('finds a tool that is marked idempotent and passes no key on', async () => {
    const report = await findCrashes(async (life) => {
      const runtime = await life.open()
      const post = tool({
        name: 'post',
        description: 'Posts a letter',
        effect: 'idempotent',
        input: z.object({}),
        run: () => life.outside.effect('letter').then(() => 'posted'),
      })
      const model = life.outside.model(({ messages }) => (messages.length === 1 ? { toolCalls: [{ name: 'post' }] } : 'Done.'))
      const agent = buildAgent({ name: 'clerk', model: 'm', systemPrompt: '', allowedTools: ['post'] }, { model, tools: [post] })
      return (await runtime.durable(agent).run('Post it.')).output
    })
    assert.deepEqual({ ...toCounts(report), doubledEffects: 0 }, nothing)
    assert.ok(report.doubledEffects > 0)
  })

  test('finds a run that is stuck because a client sends once only', async () => {
    const gate = createMachine({
      id: 'gate',
      initial: 'shut',
      states: { shut: { on: { open: 'wide' } }, wide: { type: 'final' } },
    })
    const subject: CrashSubject = async (life) => {
      const runtime = await life.open({ machines: [gate] })
      const run = await runtime.start(gate, { id: 'gate' })
      if (life.number === 1) await run.send({ type: 'open' })
      await run.done()
    }
    const report = await findCrashes(subject, { pairs: 5 })
    assert.ok(report.stuckRuns > 0)
    assert.equal(report.lostEvents, 0, 'nobody has acknowledged it')
    assert.match(report.failures[0]?.problems.join() ?? '', /^Life 2 is stuck/)
  })

  test('finds an event that was taken for acknowledged too early', async () => {
    const gate = createMachine({
      id: 'gate',
      initial: 'shut',
      states: { shut: { on: { open: 'wide' } }, wide: { type: 'final' } },
    })
    const report = await findCrashes(async (life) => {
      const runtime = await life.open({ machines: [gate] })
      const run = await runtime.start(gate, { id: 'gate' })
      await life.outside.once('open', async () => void run.send({ type: 'open' }, { id: 'open' })) // not awaited
      await run.done()
    })
    assert.ok(report.lostEvents > 0)
    assert.match(report.failures[0]?.problems.join('\n') ?? '', /^`open` was acknowledged before a death and is lost/m)
  })

  test('takes another output where a step was reported as in doubt, unless `accepts` refuses it', async () => {
    const subject: CrashSubject<string> = async (life) => {
      const runtime = await life.open()
      const flow = runtime.flow('post', async (_, { step }) => {
        try {
          return await step('post', () => life.outside.effect('letter').then(() => 'posted'), { onDoubt: 'report' })
        } catch (error) {
          if (!isPerdureError(error, 'STEP_IN_DOUBT')) throw error
          return 'perhaps posted'
        }
      })
      return await flow.run(1)
    }
    const asked: unknown[] = []
    const report = await exploreCrashes(subject, {
      accepts: (...outputs) => {
        asked.push(outputs)
        return true
      },
    })
    assert.ok(report.reported > 0)
    assert.deepEqual(asked[0], ['perhaps posted', 'posted'])
    const refused = await findCrashes(subject, { accepts: () => false })
    assert.ok(refused.divergedStates > 0)
    assert.match(refused.failures[0]?.problems.join() ?? '', /`accepts` does not take the output: `'perhaps posted'` instead of/)
  })

  test('takes no real time for waits, also between retries', async () => {
    const startedAt = performance.now()
    await exploreCrashes(
      async (life) => {
        const runtime = await life.open()
        const flow = runtime.flow('patient', async (_, { step, sleep }) => {
          await sleep(24 * 3_600_000)
          return await step('try', ({ attempt }) => (attempt < 3 ? Promise.reject(new Error('not yet')) : 'at last'), {
            retry: { maxAttempts: 9, delayMs: 60_000 },
          })
        })
        return await flow.run(1)
      },
      { pairs: 20 },
    )
    assert.ok(performance.now() - startedAt < 60_000)
  })
})
