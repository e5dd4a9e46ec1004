/**
 * P1 to P5 and P8 by death: many machines in one store, in a child process that is killed by SIGKILL at random moments until all of them have come to their
 * end. What the outside saw (acknowledgements over a pipe, executions in a file) is held against the outputs and against what the store had recorded at each
 * death. Would catch: an acknowledged event that is lost or taken twice; a message between runs that is lost, doubled or out of order; a settled step that
 * is executed again, or an effect without an intent; a timer that is lost, fires twice, or before its time; a run that nobody brings back.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { readJournal } from '../support/journal.ts'
import { type Fate, live, type Task } from '../support/machine-app-life.ts'
import { allRuns, counterIds, plan, ringIds } from '../support/machine-app-machines.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

/** A small deterministic generator (mulberry32), so that a failure can be run again by its seed. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** While it opens, while it has just begun to go on, or in the middle of what it says. */
function toFate(random: () => number): Fate {
  const kind = random()
  if (kind < 0.1) return { lines: 0, delayMs: Math.floor(random() * 300) }
  if (kind < 0.5) return { lines: 1, delayMs: random() * 40 }
  return { lines: 1 + Math.floor(random() * 30), delayMs: random() * 4 }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

/** What every run comes to, from the plan alone. */
function toExpected(): Record<string, unknown> {
  const results = (from: number): unknown[] =>
    numbers(plan.steps).map((n) => ((from + n) % 5 === 4 ? `RangeError: step ${from + n} fails` : (from + n) ** 2))
  const perRing = (plan.tokens * plan.hops) / plan.ring
  const expected: Record<string, unknown> = {
    collector: numbers(plan.tokens).map((token) => `${token} at ring-${plan.hops % plan.ring}`),
  }
  for (const id of counterIds) expected[id] = numbers(plan.events)
  for (const id of ringIds) expected[id] = { sent: perRing, taken: perRing, wrong: [] }
  for (const index of numbers(plan.workers)) expected[`boss-${index}`] = { a: results(0), b: results(100) }
  const rung = numbers(plan.ticks).map((tick) => `${tick} as ${tick + 1}`)
  for (const index of numbers(plan.clocks)) expected[`clock-${index}`] = { pings: numbers(plan.ticks), rung, early: [] }
  for (const index of numbers(plan.askers)) expected[`asker-${index}`] = numbers(plan.questions).map((n) => `answer ${n}`)
  return expected
}

/** The executions in the file: of steps by key, their attempts in order; of promises, how often. */
function readEffects(file: string): { readonly steps: Map<string, number[]>; readonly promises: Map<string, number> } {
  const steps = new Map<string, number[]>()
  const promises = new Map<string, number>()
  if (!existsSync(file)) return { steps, promises }
  for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
    const [kind, first = '', second = ''] = line.split(' ')
    if (kind === 'step') steps.set(first, [...(steps.get(first) ?? []), Number(second)])
    else promises.set(`${first} ${second}`, (promises.get(`${first} ${second}`) ?? 0) + 1)
  }
  return { steps, promises }
}

interface Campaign {
  kills: number
  /** Lives in which nobody asked the runs for anything any more. */
  alone: number
  /** Executions of steps that had been in doubt, and of promises that had been under way. */
  repeatedSteps: number
  repeatedPromises: number
  outputs: unknown[]
  /** What must not be. */
  wrong: string[]
}

/** Kills a store's processes until the work is done, once. */
async function survive(result: Campaign, directory: string, cache: string, passivate: boolean, random: () => number) {
  const effects = `${directory}.effects`
  const acknowledged: Record<string, number[]> = Object.fromEntries(counterIds.map((id) => [id, []]))
  let started = 0
  let settled = new Map<string, number>()
  for (let deaths = 0; ; deaths++) {
    const task: Task = { started, acknowledged, passivate }
    const isAsked = started < allRuns.length || Object.values(acknowledged).some(({ length }) => length < plan.events)
    const life = await live(directory, effects, task, cache, deaths < 60 ? toFate(random) : undefined)
    if (!isAsked) result.alone++
    for (const said of life.said) {
      if (said.type === 'started') started++
      else if (said.type === 'acknowledged') acknowledged[said.id]?.push(said.n)
      else if (said.type === 'wrong') result.wrong.push(said.what)
      else if (said.type === 'result') result.outputs.push(said.outputs)
    }
    const { steps, promises } = readEffects(effects)
    for (const [key, times] of settled)
      if ((steps.get(key) ?? []).length !== times) result.wrong.push(`${key} had settled and was executed again`) // P2
    if (existsSync(join(directory, 'CURRENT'))) {
      const journal = await readJournal(directory)
      for (const [key, attempts] of steps) {
        const last = attempts.at(-1) ?? 0
        if (!((journal.get(key)?.attempt ?? 0) >= last)) result.wrong.push(`${key} was executed before its intent was on disk`) // P3
      }
      const over = [...journal].filter(([, { kind, status }]) => kind === 'step' && status !== 'intended')
      settled = new Map(over.map(([key]) => [key, (steps.get(key) ?? []).length]))
    } else if (steps.size > 0) result.wrong.push('a step was executed and there is no store')
    if (life.killed) {
      result.kills++
      continue
    }
    for (const [key, attempts] of steps) {
      const isRising = attempts.every((attempt, index) => attempt > (attempts[index - 1] ?? 0))
      if (!isRising) result.wrong.push(`${key} was executed as attempts ${attempts}`)
      result.repeatedSteps += attempts.length - 1
    }
    const asked = plan.askers * plan.questions
    if (promises.size !== asked) result.wrong.push(`${promises.size} of ${asked} promises were executed`)
    for (const times of promises.values()) result.repeatedPromises += times - 1
    return
  }
}

describe('machines whose process is killed at random moments', { concurrency: 2 }, () => {
  let room: TempRoom
  let cache: string
  before(async () => {
    room = await createTempRoom()
    cache = room.path('cache')
    const directory = room.path()
    const task: Task = { started: 0, acknowledged: {}, passivate: false }
    const { said } = await live(directory, `${directory}.effects`, task, cache)
    const result = said.at(-1)
    assert.ok(result?.type === 'result', 'a process that is not killed comes to the end')
    assert.deepEqual(result.outputs, toExpected())
  })
  after(() => room.remove())

  for (const { seed, passivate, kills } of [
    { seed: 1, passivate: false, kills: 40 },
    { seed: 2, passivate: true, kills: 40 },
  ]) {
    const how = passivate ? 'dropped from memory whenever they wait' : 'kept in memory'
    test(`come to the end that they would have had (${how}, seed ${seed}, at least ${kills} kills)`, async (t) => {
      const random = createRandom(seed)
      const result: Campaign = { kills: 0, alone: 0, repeatedSteps: 0, repeatedPromises: 0, outputs: [], wrong: [] }
      while (result.kills < kills) await survive(result, room.path(), cache, passivate, random)
      const { outputs, wrong, ...counts } = result
      t.diagnostic(`${JSON.stringify(counts)}, ${outputs.length} stores`)
      assert.deepEqual(wrong, [])
      for (const output of outputs) assert.deepEqual(output, toExpected())
      assert.ok(result.alone > 0, 'some processes had nothing to ask for, and all went on')
      assert.ok(result.repeatedSteps > 0, 'some steps were in doubt')
      assert.ok(result.repeatedPromises > 0, 'some promises ran again')
    })
  }
})
