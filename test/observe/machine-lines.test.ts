import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RuntimeEvent } from 'perdure'
import { PerdureError } from 'perdure'
import { createLedger, createReporter } from 'perdure/observe'

const common = { runId: 'order-17', time: 0 }
const events: readonly RuntimeEvent[] = [
  { ...common, type: 'machine.started', name: 'order' },
  { ...common, type: 'machine.completed', name: 'order' },
  { ...common, type: 'machine.failed', name: 'order', error: new RangeError('too\u001b[2J much') },
  { ...common, type: 'machine.cancelled', name: 'order', reason: 'no longer needed' },
  { ...common, type: 'machine.parked', name: 'order', missing: ['state `order.paying`'] },
  { ...common, type: 'run.blocked', error: new PerdureError('RUN_CORRUPT', 'It is damaged.') },
  { ...common, type: 'run.removed' },
  { ...common, type: 'message.dropped', from: 'shop-1', event: { type: 'paid' } },
]

function print(format: 'pretty' | 'json'): string[] {
  let text = ''
  const write = (chunk: string): boolean => {
    text += chunk
    return true
  }
  const stream = { write, isTTY: false, columns: 200 }
  const reporter = createReporter({ format, stream: stream as never, env: {} })
  for (const event of events) reporter(event)
  reporter.close()
  return text.trimEnd().split('\n')
}

test('each event of a run of a machine is one line, without control characters', () => {
  const lines = print('pretty')
  assert.equal(lines.length, events.length)
  assert.match(lines[0] ?? '', /order\s+started\s+run order-17/)
  assert.match(lines[1] ?? '', /order\s+completed\s+run order-17/)
  assert.match(lines[2] ?? '', /order\s+failed\s+run order-17 · .*too.*much/)
  assert.match(lines[3] ?? '', /order\s+cancelled\s+run order-17 · no longer needed/)
  assert.match(lines[4] ?? '', /order\s+parked\s+run order-17 · .*`order\.paying`.*migrate/)
  assert.match(lines[5] ?? '', /blocked\s+run order-17 .*It is damaged/)
  assert.match(lines[7] ?? '', /dropped\s+paid from run shop-1 · run order-17/)
  assert.ok(!lines.join('').includes('\u001b'))
})

test('as JSON each is one object', () => {
  const types = print('json').map((line) => (JSON.parse(line) as RuntimeEvent).type)
  assert.deepEqual(
    types,
    events.map(({ type }) => type),
  )
})

test('the ledger does not keep runs of machines', () => {
  const ledger = createLedger()
  for (const event of events) ledger.listener(event)
  assert.equal(ledger.store.get().context.runs.size, 0)
})
