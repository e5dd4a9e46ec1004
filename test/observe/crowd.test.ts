import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { RuntimeEvent } from 'perdure'
import { createReporter } from 'perdure/observe'
import { createMemoryStream, event } from '../support/log-scene.ts'

type Type = 'machine.started' | 'machine.completed' | 'machine.failed' | 'machine.parked' | 'run.removed'

function open(t: TestContext, format: 'pretty' | 'json' = 'pretty') {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const stream = createMemoryStream()
  const report = createReporter({ format, stream, env: {}, color: false })
  t.after(() => report.close())
  let count = 0
  return {
    report,
    /** So many events of that type, each of another run. */
    tell(times: number, type: Type, time = 1_000_000, name = 'order') {
      const error = new Error('broke')
      const missing = ['state `order.paying`']
      for (let i = 0; i < times; i++)
        report({
          type,
          runId: `order-${++count}`,
          time,
          ...(type === 'run.removed' ? {} : { name, error, missing }),
        } as RuntimeEvent) // what the type at hand has no use for is left alone
    },
    /** The lines since it was asked last. */
    lines(): string[] {
      const { text } = stream
      stream.text = ''
      return text.split('\n').slice(0, -1)
    },
  }
}

test('a hundred thousand runs in a second are ten lines and a count', (t) => {
  const { tell, lines } = open(t)
  tell(100_000, 'machine.started')
  const first = lines()
  assert.deepEqual(
    [first.length, first[0], first[9]],
    [10, '▶ order        started    run order-1', '▶ order        started    run order-10'],
  )
  t.mock.timers.tick(1_000)
  assert.deepEqual(lines(), ['▶ order        started    99,990 more'])
  t.mock.timers.tick(10_000)
  assert.deepEqual(lines(), [], 'it is told once')
})

test('the count is told before what happens in the next second, which has lines of its own', (t) => {
  const { tell, lines } = open(t)
  tell(12, 'machine.started', 1_000_000)
  lines()
  tell(1, 'machine.started', 1_001_000)
  assert.deepEqual(lines(), ['▶ order        started    2 more', '▶ order        started    run order-13'])
})

test('each machine and each thing that happens is counted by itself', (t) => {
  const { report, tell, lines } = open(t)
  tell(11, 'machine.started')
  tell(12, 'machine.started', 1_000_000, 'invoice')
  tell(13, 'run.removed')
  lines()
  tell(1, 'machine.completed')
  assert.deepEqual(lines(), ['✔ order        completed  run order-37'])
  report.close()
  assert.deepEqual(lines(), [
    '▶ order        started    1 more',
    '▶ invoice      started    2 more',
    '               removed    3 more',
  ])
})

test('what a person should know of says where to find the others', (t) => {
  const { report, tell, lines } = open(t)
  tell(11, 'machine.failed')
  tell(12, 'machine.parked')
  lines()
  report.close()
  assert.deepEqual(lines(), [
    "✖ order        failed     1 more: runtime.runs({ status: 'failed' }) lists them",
    "◌ order        parked     2 more: runtime.runs({ status: 'incompatible' }) lists them",
  ])
})

test('calls that are repeated by many machines after a crash are counted too', (t) => {
  const { report, lines } = open(t)
  for (let i = 1; i <= 12; i++)
    report(event.callStarted({ runId: `order-${i}`, checkpoint: '', kind: 'tool', name: 'charge', inDoubt: true }))
  assert.equal(lines().length, 10)
  report.close()
  assert.deepEqual(lines(), ['↻              repeats    2 more'])
})

test('calls without a line leave no count', (t) => {
  const { report, lines } = open(t)
  for (let i = 1; i <= 20; i++) report(event.callStarted({ runId: `order-${i}`, checkpoint: '' }))
  report(event.callStarted({ runId: 'order-21', checkpoint: '', inDoubt: true }))
  assert.equal(lines().length, 1)
  report.close()
  assert.deepEqual(lines(), [])
})

test('a clock that goes backwards keeps nothing back', (t) => {
  const { tell, lines } = open(t)
  tell(11, 'machine.started', 1_000_000)
  tell(1, 'machine.started', 500)
  assert.deepEqual(lines().slice(10), ['▶ order        started    1 more', '▶ order        started    run order-12'])
})

test('flows and their checkpoints are never counted', (t) => {
  const { report, lines } = open(t)
  for (let i = 0; i < 30; i++) report(event.runStarted({ runId: `research/${i}` }))
  assert.equal(lines().length, 30)
})

test('JSON has every event', (t) => {
  const { tell, lines } = open(t, 'json')
  tell(1_000, 'machine.started')
  assert.equal(lines().length, 1_000)
})
