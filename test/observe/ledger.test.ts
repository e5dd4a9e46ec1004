import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PerdureError } from '../../src/errors.ts'
import { createLedger } from '../../src/observe/ledger.ts'
import type { LedgerRun } from '../../src/observe/ledger-run.ts'
import type { RuntimeEvent } from '../../src/runtime/events.ts'
import { NO_SPEND } from '../../src/runtime/spend.ts'
import { event, runId, toReceipt, turnOne, turnTwo } from '../support/log-scene.ts'

/** The runs after these events. */
function tell(...events: readonly RuntimeEvent[]): ReadonlyMap<string, LedgerRun> {
  const ledger = createLedger()
  for (const item of events) ledger.listener(item)
  return ledger.store.get().context.runs
}

/** The checkpoints of the run `research` after these events. */
const checkpointsOf = (...events: readonly RuntimeEvent[]) => tell(event.runStarted(), ...events).get(runId)?.checkpoints ?? []

describe('a run', () => {
  test('runs until it completes with its receipt', () => {
    const { status, attempt, checkpoints } = tell(event.runStarted({ attempt: 2 })).get(runId) ?? assert.fail()
    assert.deepEqual({ status, attempt, checkpoints }, { status: 'running', attempt: 2, checkpoints: [] })
    const receipt = toReceipt({ spent: { ...turnTwo, checkpoints: 1 } })
    const done = tell(event.runStarted(), event.runCompleted({ receipt, time: 1_000_900 })).get(runId)
    assert.ok(done?.status === 'completed')
    assert.deepEqual([done.receipt, done.startedAt, done.endedAt], [receipt, 1_000_000, 1_000_900])
  })

  test('fails with name, code and message, and leaves no checkpoint open', () => {
    const error = new PerdureError('ABORTED', 'Stopped.', { details: { key: 'sk-canary' } })
    const run = tell(event.runStarted(), event.started(), event.callStarted(), event.runFailed({ error })).get(runId)
    assert.ok(run?.status === 'failed')
    assert.deepEqual(run.error, { name: 'PerdureError', code: 'ABORTED', message: 'Stopped.' })
    assert.deepEqual(
      run.checkpoints.map(({ status }) => status),
      ['interrupted'],
    )
  })

  test('begins its checkpoints anew with each attempt', () => {
    const runs = tell(event.runStarted(), event.reused(), event.runFailed(), event.runStarted({ attempt: 2 }))
    assert.deepEqual(runs.get(runId)?.checkpoints, [])
  })

  test('that comes from the store keeps what is known of it', () => {
    const run = tell(event.runStarted(), event.reused(), event.runCompleted(), event.runReused()).get(runId)
    assert.ok(run?.status === 'reused')
    assert.equal(run.completedAt, 815_000)
    assert.equal(run.checkpoints.length, 1)
    assert.equal(tell(event.runReused()).get(runId)?.status, 'reused')
  })
})

describe('a checkpoint', () => {
  test('of a conversation in a flow belongs to the run of the flow', () => {
    const runs = tell(event.runStarted(), event.started(), event.finished(), event.started({ checkpoint: 'default_2' }))
    assert.deepEqual([...runs.keys()], [runId])
    assert.deepEqual(
      runs.get(runId)?.checkpoints.map(({ name, status }) => [name, status]),
      [
        ['default', 'finished'],
        ['default_2', 'started'],
      ],
    )
  })

  test('of a session is one of a run of its own, even beside a flow of the same name', () => {
    const runs = tell(event.runStarted({ runId: 'default', name: 'default' }), event.started({ runId: 'default/main' }))
    assert.deepEqual([...runs.keys()], ['default', 'default/main'])
    const session = runs.get('default/main')
    assert.deepEqual([session?.kind, session?.name, session?.status], ['session', 'default', 'running'])
    const idle = tell(event.started({ runId: 'default/main' }), event.finished({ runId: 'default/main' })).get('default/main')
    assert.equal(idle?.status, 'idle')
  })

  test('says why it executes, what it reuses and which parts changed', () => {
    const [checkpoint] = checkpointsOf(event.started({ reason: 'changed', changed: ['prompt'], reused: turnTwo }))
    assert.deepEqual([checkpoint?.reason, checkpoint?.changed, checkpoint?.reused], ['changed', ['prompt'], turnTwo])
  })

  test('adds up what its calls cost, and has the exact sum in the end', () => {
    const [open] = checkpointsOf(
      event.started(),
      event.callStarted(),
      event.callSettled(),
      event.callStarted(),
      event.callSettled(),
    )
    assert.deepEqual([open?.spent.modelCalls, open?.spent.inputTokens], [2, 1200])
    const [done] = checkpointsOf(event.started(), event.callStarted(), event.callSettled(), event.finished())
    assert.deepEqual(done?.spent, turnOne)
  })

  test('counts what a retried attempt was billed all the same', () => {
    const usage = { inputTokens: 600, outputTokens: 40, cachedInputTokens: 0, reasoningTokens: 0 }
    const error = new PerdureError('MODEL_CUT_OFF', 'Cut off.', { details: { usage } })
    const [open] = checkpointsOf(event.started(), event.callStarted(), event.callRetried({ error }))
    assert.deepEqual([open?.spent.modelCalls, open?.spent.inputTokens, open?.spent.unpricedCalls], [1, 600, 1])
  })

  test('knows its calls in flight and the text they brought; a retry voids it', () => {
    const events = [event.started(), event.callStarted(), event.text(), event.text()]
    const [open] = checkpointsOf(...events)
    assert.ok(open?.status === 'started')
    assert.deepEqual([open.textLength, open.calls.map(({ key, textLength }) => [key, textLength])], [10, [['call/1', 10]]])
    const [retried] = checkpointsOf(...events, event.callRetried(), event.text())
    assert.ok(retried?.status === 'started')
    assert.deepEqual([retried.textLength, retried.calls[0]?.retries], [5, 1])
    const [settled] = checkpointsOf(...events, event.callSettled())
    assert.ok(settled?.status === 'started')
    assert.deepEqual([settled.textLength, settled.calls], [10, []])
  })

  test('that failed, or failed before, has its error', () => {
    const [failed] = checkpointsOf(event.started(), event.failed({ spent: turnTwo }))
    assert.ok(failed?.status === 'failed')
    assert.deepEqual([failed.error.message, failed.spent], ['it broke', turnTwo])
    const [reused] = checkpointsOf(event.reused({ reused: NO_SPEND, error: new Error('old') }))
    assert.ok(reused?.status === 'reused')
    assert.equal(reused.error?.message, 'old')
  })

  test('of a step and of a turn with the same name are two', () => {
    assert.equal(checkpointsOf(event.started(), event.started({ runId, kind: 'step' })).length, 2)
  })
})

test('events change nothing that was read before, and nothing that they are not about', () => {
  const { listener, store } = createLedger()
  listener(event.runStarted())
  listener(event.runStarted({ runId: 'other' }))
  const before = store.get().context
  const copy = structuredClone(before)
  listener(event.started())
  listener(event.callStarted())
  listener(event.callSettled())
  assert.deepEqual(before, copy)
  assert.equal(store.get().context.runs.get('other'), before.runs.get('other'))
  assert.notEqual(store.get().context.runs.get(runId), before.runs.get(runId))
})

test('events about what is not known are no mistake', () => {
  const late = [event.callStarted(), event.callSettled(), event.callRetried(), event.text(), event.finished(), event.failed()]
  assert.equal(tell(...late).size, 0)
  assert.equal(tell(event.runCompleted()).get(runId)?.status, 'completed')
  assert.deepEqual(checkpointsOf(...late), [])
})

test('subscribers hear of each change', () => {
  const { listener, store } = createLedger()
  const sizes: number[] = []
  store.subscribe(({ context }) => sizes.push(context.runs.size))
  listener(event.runStarted())
  listener(event.runStarted({ runId: 'other' }))
  assert.deepEqual(sizes, [1, 2])
})

test('the run that ended first is forgotten first, and a running one never', () => {
  const { listener, store } = createLedger({ maxFinishedRuns: 2 })
  listener(event.runStarted({ runId: 'running' }))
  for (const id of ['a', 'b', 'c', 'd'].keys()) {
    listener(event.runStarted({ runId: `run-${id}` }))
    listener(event.runCompleted({ runId: `run-${id}`, time: 2_000_000 + id }))
  }
  assert.deepEqual([...store.get().context.runs.keys()], ['running', 'run-2', 'run-3'])
})

test('a long session keeps its last thousand checkpoints', () => {
  const { listener, store } = createLedger()
  for (let turn = 1; turn <= 1_100; turn++) listener(event.reused({ runId: 'default/main', checkpoint: `default_${turn}` }))
  const run = store.get().context.runs.get('default/main')
  assert.deepEqual([run?.checkpoints.length, run?.checkpoints.at(-1)?.name], [1_000, 'default_1100'])
})

describe('calls of machines', () => {
  const call = { runId: 'order-17', checkpoint: '' } as const
  const machine = { runCreatedAt: 0, runId: 'order-17', name: 'order', time: 1_000_100 } as const
  /** The calls of machines in flight after these events. */
  const callsAfter = (...events: readonly RuntimeEvent[]) => {
    const { listener, store } = createLedger()
    for (const item of events) listener(item)
    assert.equal(store.get().context.runs.size, 0, 'a run of a machine is not kept')
    return store.get().context.machineCalls
  }

  test('are known while they are in flight, also when the start of their run was not seen', () => {
    const [known, ...others] = callsAfter(event.callStarted(call), event.callRetried(call), event.text(call), event.text(call))
    assert.deepEqual(others, [])
    assert.deepEqual([known?.runId, known?.name, known?.retries, known?.textLength], ['order-17', 'gpt-5-mini', 1, 10])
    assert.deepEqual(callsAfter(event.callStarted(call), event.callSettled(call)), [])
  })

  test('are told apart by run and key; one that is made again takes the place of the first', () => {
    const calls = callsAfter(
      event.callStarted(call),
      event.callStarted({ ...call, key: 'call/2' }),
      event.callStarted({ ...call, runId: 'order-18' }),
      event.callStarted({ ...call, attempt: 2, inDoubt: true }),
      event.callSettled({ ...call, runId: 'order-18' }),
    )
    assert.deepEqual(
      calls.map(({ runId, key, attempt }) => [runId, key, attempt]),
      [
        ['order-17', 'call/2', 1],
        ['order-17', 'call/1', 2],
      ],
    )
  })

  const ends: readonly RuntimeEvent[] = [
    { ...machine, type: 'machine.completed' },
    { ...machine, type: 'machine.failed', error: new Error('it broke') },
    { ...machine, type: 'machine.cancelled', reason: undefined },
    { ...machine, type: 'machine.parked', missing: ['state `a`'] },
    { ...machine, type: 'run.blocked', error: new Error('it broke') },
    { ...machine, type: 'run.removed' },
  ]
  for (const end of ends)
    test(`are forgotten with their run: ${end.type}`, () => {
      const calls = callsAfter(event.callStarted(call), event.callStarted({ ...call, runId: 'order-18' }), end)
      assert.deepEqual(
        calls.map(({ runId }) => runId),
        ['order-18'],
      )
    })

  test('are a thousand at most: the oldest is forgotten first', () => {
    const { listener, store } = createLedger()
    for (let i = 1; i <= 100_000; i++) {
      listener({ ...machine, type: 'machine.started', runId: `order-${i}`, runCreatedAt: 0 })
      listener(event.callStarted({ ...call, runId: `order-${i}` }))
    }
    const { runs, machineCalls } = store.get().context
    assert.deepEqual([runs.size, machineCalls.length, machineCalls.at(-1)?.runId], [0, 1_000, 'order-100000'])
  })

  test('change nothing that was read before', () => {
    const { listener, store } = createLedger()
    listener(event.callStarted(call))
    const before = store.get().context
    const copy = structuredClone(before)
    listener(event.text(call))
    listener(event.callSettled(call))
    listener(event.callSettled(call))
    assert.deepEqual(before, copy)
  })
})

test('a limit that is no number of runs is refused', () => {
  assert.throws(() => createLedger({ maxFinishedRuns: -1 }), {
    name: 'TypeError',
    message: 'Expected `maxFinishedRuns` to be an integer ≥ 0, got `-1` (number)',
  })
})
