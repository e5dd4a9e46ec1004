import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RuntimeEvent } from 'perdure'
import { PerdureError } from 'perdure'
import { createReporter } from 'perdure/observe'
import { createMemoryStream, event } from '../support/log-scene.ts'

const common = { runId: 'order-17', time: 0 }
const machine = { runCreatedAt: 0, ...common, name: 'order' }
const events: readonly RuntimeEvent[] = [
  { ...machine, type: 'machine.started', runCreatedAt: 0 },
  { ...machine, type: 'machine.completed' },
  { ...machine, type: 'machine.failed', error: new RangeError('too much') },
  { ...machine, type: 'machine.cancelled', reason: 'no longer needed' },
  { ...machine, type: 'machine.parked', missing: ['state `order.paying`'] },
  { ...common, type: 'run.blocked', error: new PerdureError('RUN_CORRUPT', 'It is damaged.') },
  { ...common, type: 'run.removed' },
  { ...common, type: 'message.dropped', from: 'shop-1', event: { type: 'paid' } },
]
/** A call of a step of a machine: it is in no checkpoint. */
const call = { runId: 'order-17', checkpoint: '', key: 'charge/1', kind: 'step', name: 'charge' } as const

function print(format: 'pretty' | 'json', told: readonly RuntimeEvent[], columns?: number): string[] {
  const stream = createMemoryStream(columns)
  const report = createReporter({ format, stream, env: {}, color: false })
  for (const item of told) report(item)
  report.close()
  return stream.text.replaceAll('\r\u001b[2K', '').trimEnd().split('\n')
}

test('each event of a run of a machine is one line: what happened, to which run, what to do', () => {
  assert.deepEqual(print('pretty', events), [
    '▶ order        started    run order-17',
    '✔ order        completed  run order-17',
    '✖ order        failed     run order-17 · RangeError: too much · start it anew under another id',
    '◌ order        cancelled  run order-17 · no longer needed',
    '◌ order        parked     run order-17 · waits for a machine that has state `order.paying`: register the version that it began with, or a migrate',
    '✖              blocked    run order-17 is kept, and tried again at the next opening · RUN_CORRUPT: It is damaged.',
    '               removed    run order-17',
    '◌              dropped    paid from run shop-1 to run order-17, which does not exist or has ended: start it before it is sent to',
  ])
})

test('a run that was cancelled without a reason has none', () => {
  assert.deepEqual(print('pretty', [{ ...machine, type: 'machine.cancelled', reason: undefined }]), [
    '◌ order        cancelled  run order-17',
  ])
})

test('what to do about a parked run is still there when much is missing and the terminal is narrow', () => {
  const missing = Array.from({ length: 40 }, (_, i) => `state \`order.somewhere.deep.${i}\``)
  const text = print('pretty', [{ ...machine, type: 'machine.parked', missing }], 80)
    .join(' ')
    .replace(/\s+/g, ' ')
  assert.match(text, /has state `order\.somewhere\.deep\.0`, .* and 38 more: register the version .* migrate$/)
})

test('what fails without a run does not speak of one', () => {
  assert.deepEqual(print('pretty', [{ runId: '', time: 0, type: 'run.blocked', error: new Error('disk full') }]), [
    '✖              blocked    the space of removed runs could not be given back · disk full',
  ])
})

describe('a call of a step of a machine', () => {
  test('has a line when it may happen twice and when it is retried, which says the run', () => {
    assert.deepEqual(
      print('pretty', [
        event.callStarted(call),
        event.callStarted({ ...call, inDoubt: true, attempt: 2 }),
        event.callRetried(call),
        event.callSettled(call),
        event.callReused(call),
      ]),
      [
        '↻              repeats    run order-17 · step charge: was in flight when an earlier attempt ended, its effect may have happened already',
        '↻              retries    run order-17 · charge in 2.0 s, attempt 1 failed · busy',
      ],
    )
  })

  test('is one of its run also when flows run', () => {
    const [, line] = print('pretty', [event.runStarted(), event.callRetried(call)])
    assert.equal(line, '↻              retries    run order-17 · charge in 2.0 s, attempt 1 failed · busy')
  })
})

test('what others wrote cannot act on the terminal', () => {
  const hostile = '\u001b[2J\u001b]0;owned\u0007evil\r\n\u202efdp.exe'
  const all = { runId: hostile, name: hostile, reason: hostile, missing: [hostile], error: new Error(hostile), from: hostile }
  const told = events.map((item) => Object.assign({}, item, all, 'from' in item && { event: { type: hostile } }))
  const lines = print('pretty', [...told, event.callRetried({ ...call, runId: hostile, name: hostile })])
  assert.equal(lines.length, events.length + 1)
  assert.match(lines.join(''), /evil/)
  assert.doesNotMatch(lines.join(''), /[\p{Cc}\p{Bidi_Control}]|owned/u)
})

describe('as JSON', () => {
  test('each is one object', () => {
    const types = print('json', events).map((line) => (JSON.parse(line) as RuntimeEvent).type)
    assert.deepEqual(
      types,
      events.map(({ type }) => type),
    )
  })

  test('of a message that was dropped only its type is told: the rest may be large, secret or no JSON', () => {
    const payload = { type: 'paid', amount: 3n, card: 'sk-canary' }
    const [line = ''] = print('json', [{ ...common, type: 'message.dropped', from: 'shop-1', event: payload }])
    assert.deepEqual(JSON.parse(line), {
      time: 0,
      type: 'message.dropped',
      runId: 'order-17',
      from: 'shop-1',
      event: { type: 'paid' },
    })
  })
})
