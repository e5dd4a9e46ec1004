/** What a store that loses writes does to programs is found, and called by its name. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Store } from 'perdure'
import type { CrashReport, CrashSubject } from 'perdure/testing'
import { createMachine } from 'xstate'
import { explore } from '../../src/testing/explore/explore.ts'
import { runScenario } from '../../src/testing/explore/scenario.ts'
import { nothing, toCounts } from '../support/explore-found.ts'
import { createForgetfulStores, lazyStore } from '../support/explore-stores.ts'

const exploreOn = (toWrap: () => (store: Store) => Store, subject: CrashSubject): Promise<CrashReport> =>
  explore((schedule, { forget } = {}) => runScenario(subject, schedule, { timeoutMs: 5_000, seed: 1, forget, wrap: toWrap() }), {
    name: 'store',
    seed: 1,
    pairs: 10,
    triples: 0,
    instants: 0,
    concurrency: 1,
  })

const letters: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('letters', async (_, { step }) => {
    await step('first', () => life.outside.effect('first'), { onDoubt: 'report' }).catch(() => {})
    return await step('second', ({ key }) => life.outside.effect('second', key))
  })
  await flow.run(1)
}
const gate: CrashSubject = async (life) => {
  const machine = createMachine({
    id: 'gate',
    initial: 'shut',
    states: { shut: { on: { knock: 'ajar' } }, ajar: { on: { open: 'wide' } }, wide: { type: 'final' } },
  })
  const runtime = await life.open({ machines: [machine] })
  const run = await runtime.start(machine, { id: 'gate' })
  for (const type of ['knock', 'open']) await life.outside.once(type, () => run.send({ type }, { id: type }))
  await run.done()
}

describe('the explorer', () => {
  test('finds nothing with a store that keeps its promise', async () => {
    for (const subject of [letters, gate]) assert.deepEqual(toCounts(await exploreOn(() => (store) => store, subject)), nothing)
  })

  test('finds effects doubled with a store that acknowledges before it applies: the intent is lost', async () => {
    assert.ok((await exploreOn(() => lazyStore, letters)).doubledEffects > 0)
  })

  test('finds events lost with a store that acknowledges before it applies', async () => {
    const { lostEvents, stuckRuns, failures } = await exploreOn(() => lazyStore, gate)
    assert.ok(lostEvents > 0)
    assert.ok(stuckRuns > 0)
    assert.match(failures[0]?.problems.join('\n') ?? '', /^`\w+` was acknowledged before a death and is lost/m)
  })

  test('finds settled calls repeated with a store that takes back what was on disk', async () => {
    const { repeatedCalls, failures } = await exploreOn(createForgetfulStores, letters)
    assert.ok(repeatedCalls > 0)
    const problems = failures.flatMap((failure) => failure.problems).join('\n')
    assert.match(
      problems,
      /^Life 2 executed checkpoint `second` of run `.*` again, which an earlier life had on record as settled/m,
    )
  })
})
