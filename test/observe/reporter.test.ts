import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PerdureError } from '../../src/errors.ts'
import { createReporter, type ReporterOptions } from '../../src/observe/reporter.ts'
import { hasUnicode, wantsColor } from '../../src/observe/theme.ts'
import type { RuntimeEvent } from '../../src/runtime/events.ts'
import { NO_SPEND } from '../../src/runtime/spend.ts'
import { createMemoryStream, event, runId, toReceipt, turnOne, turnTwo } from '../support/log-scene.ts'

/** What is printed of these events, as lines. */
function print(events: readonly RuntimeEvent[], options: Partial<ReporterOptions> = {}): readonly string[] {
  const stream = createMemoryStream()
  const report = createReporter({ format: 'pretty', stream, env: {}, color: false, ...options })
  for (const item of events) report(item)
  return stream.text.split('\n').slice(0, -1)
}

/** What is printed of an event within a run. */
const printIn = (...events: readonly RuntimeEvent[]): readonly string[] => print([event.runStarted(), ...events]).slice(1)

const quota = new PerdureError('MODEL_QUOTA', 'The quota is used up.\nSecond line.', { details: { key: 'sk-canary' } })

describe('a run', () => {
  test('starts with its id, and its attempt if it is not the first', () => {
    assert.deepEqual(print([event.runStarted()]), [`▶ research     started    run ${runId}`])
    assert.deepEqual(print([event.runStarted({ attempt: 2 })]), [`▶ research     started    attempt 2 · run ${runId}`])
  })

  test('completes with a receipt', () => {
    const receipt = toReceipt({
      reused: { ...turnOne, checkpoints: 1 },
      spent: { ...turnTwo, checkpoints: 1 },
      repeated: { modelCalls: 1 },
    })
    assert.deepEqual(printIn(event.runCompleted({ receipt })), [
      '✔ research     completed',
      '               reused     1 checkpoint: 3 model calls, 2 tool calls, 2,104 tokens, $0.0042, 12.3 s not paid again',
      '               spent      1 model call, 640 tokens, $0.0011 in 2.1 s',
      '               repeated   1 model call asked twice, because an earlier attempt did not finish',
    ])
  })

  test('fails with the code and the first line of its error, and says how to go on', () => {
    const receipt = toReceipt({ spent: { ...turnTwo, checkpoints: 1, unpricedCalls: 1 } })
    assert.deepEqual(printIn(event.runFailed({ error: quota, receipt })), [
      '✖ research     failed     MODEL_QUOTA: The quota is used up.',
      '               spent      1 model call, 640 tokens, cost unknown in 2.1 s',
      '               next       run it again: what finished comes from the store and is not paid again',
    ])
  })

  test('does not say twice what a checkpoint failed with', () => {
    const lines = printIn(event.started(), event.failed({ error: quota }), event.runFailed({ error: quota }))
    assert.deepEqual(lines.slice(1, 3), [
      '  ✖ default    failed     MODEL_QUOTA: The quota is used up.',
      '✖ research     failed     MODEL_QUOTA in default',
    ])
  })

  test('that was aborted is cut off, and so are its open checkpoints', () => {
    const error = new PerdureError('ABORTED', 'Run `x` was aborted.')
    assert.deepEqual(printIn(event.started(), event.callSettled(), event.runFailed({ error })), [
      '  ○ default    started',
      '  ◌ default    cut off    after 1 model call · 640 tokens · $0.0011',
      '◌ research     cut off    ABORTED: Run `x` was aborted.',
      '               spent      nothing in 2.1 s',
    ])
  })

  test('that had completed is returned from the store, and says how to run it again', () => {
    assert.deepEqual(print([event.runReused()]), [
      '≡ research     reused     completed 3 min 05 s ago, returned from the store · { cache: false } runs it again',
    ])
  })
})

describe('a checkpoint', () => {
  test('starts and finishes with calls, tokens, cost and time', () => {
    assert.deepEqual(printIn(event.started(), event.finished()), [
      '  ○ default    started',
      '  ● default    finished   3 model calls · 2 tool calls · 2,104 tokens · $0.0042 · 12.3 s',
    ])
  })

  test('comes from the store with what that saves', () => {
    assert.deepEqual(printIn(event.reused()), [
      '  ≡ default    reused     3 model calls · 2 tool calls · 2,104 tokens · $0.0042 · 12.3 s not paid again',
    ])
    assert.deepEqual(printIn(event.reused({ checkpoint: 'count', kind: 'step', reused: { ...NO_SPEND, durationMs: 3 } })), [
      '  ≡ count      reused     took 3 ms, not executed again',
    ])
  })

  test('that was recorded as failed says so', () => {
    assert.deepEqual(printIn(event.reused({ reused: NO_SPEND, error: quota })), [
      '  ≡ default    reused     failed before, and the same again: MODEL_QUOTA: The quota is used up.',
    ])
  })

  test('fails with what it cost', () => {
    assert.deepEqual(printIn(event.failed({ error: quota, spent: { ...turnTwo, costUsd: 0, unpricedCalls: 1 } })), [
      '  ✖ default    failed     MODEL_QUOTA: The quota is used up.',
      '               spent      1 model call · 640 tokens · cost unknown',
    ])
  })

  const reasons: readonly (readonly [Parameters<typeof event.started>[0], string])[] = [
    [{ reason: 'resumed' }, 'was cut off: starts over'],
    [
      { reason: 'resumed', reused: turnTwo },
      'was cut off: goes on after 1 model call · 640 tokens · $0.0011 · 2.1 s not paid again',
    ],
    [{ reason: 'retried' }, 'had failed: starts over'],
    [{ reason: 'changed', changed: ['prompt'] }, 'again: the prompt changed'],
    [{ reason: 'changed', changed: ['prompt', 'system prompt'] }, 'again: the prompt and the system prompt changed'],
    [{ reason: 'changed', changed: ['prompt', 'model', 'tools'] }, 'again: the prompt, the model and the tools changed'],
    [{ reason: 'after-change' }, 'again: a checkpoint before it executed again'],
    [{ reason: 'no-cache' }, 'again: the cache is off'],
  ]
  for (const [part, detail] of reasons)
    test(`that executes says why: ${detail}`, () => {
      assert.deepEqual(printIn(event.started(part)), [`  ○ default    started    ${detail}`])
    })

  test('of a session is named after it, and has no run around it', () => {
    const main = { runId: 'default/main' }
    const named = { runId: 'default/customer-42', checkpoint: 'default_2' }
    assert.deepEqual(print([event.started(main), event.finished({ ...main, spent: turnTwo }), event.started(named)]), [
      '○ default      started',
      '● default      finished   1 model call · 640 tokens · $0.0011 · 12.3 s',
      '○ default/customer-42 › default_2  started',
    ])
  })

  test('says which run it is of while several run', () => {
    const other = 'research/Yx2_ab12CD34ef56'
    const lines = printIn(event.runStarted({ runId: other }), event.started({ runId: `${other}/default` }), event.started())
    assert.deepEqual(lines.slice(1), ['  ○ research/Yx2_ab › default  started', '  ○ research/Zk3_ab › default  started'])
  })
})

describe('a call', () => {
  test('that goes well has no line', () => {
    assert.deepEqual(printIn(event.callStarted(), event.text(), event.callSettled(), event.callReused()), [])
  })

  test('that is retried says when and why', () => {
    const error = new PerdureError('MODEL_UNAVAILABLE', 'The service answered 503.')
    assert.deepEqual(printIn(event.callRetried({ error })), [
      '  ↻ default    retries    gpt-5-mini in 2.0 s, attempt 1 failed · MODEL_UNAVAILABLE: The service answered 503.',
    ])
  })

  test('that was in doubt says what may happen twice', () => {
    const doubt = { inDoubt: true, attempt: 2 }
    assert.deepEqual(printIn(event.callStarted({ ...doubt, kind: 'tool', name: 'exec' }), event.callStarted(doubt)), [
      '  ↻ default    repeats    tool exec: was in flight when an earlier attempt ended, its effect may have happened already',
      '  ↻ default    repeats    model gpt-5-mini: was in flight when an earlier attempt ended, it may be paid twice',
    ])
  })
})

test('what others wrote cannot act on the terminal', () => {
  const hostile = '\u001b[2J\u001b]0;owned\u0007evil\r\n\u202efdp.exe'
  const stream = createMemoryStream()
  const report = createReporter({ format: 'pretty', stream, env: {}, color: false })
  for (const make of Object.values(event))
    report(make({ name: hostile, checkpoint: hostile, runId: hostile, error: new Error(hostile) }))
  assert.match(stream.text, /evil/)
  assert.doesNotMatch(stream.text.replaceAll('\n', ''), /[\p{Cc}\p{Bidi_Control}]/u)
  assert.doesNotMatch(stream.text, /owned/)
})

test('details are wrapped below their column on a terminal', () => {
  const stream = createMemoryStream(80)
  const report = createReporter({ format: 'pretty', stream, env: {}, color: false })
  report(event.finished({ runId: 'default/main' }))
  report.close()
  assert.equal(
    stream.text,
    '● default      finished   3 model calls · 2 tool calls · 2,104 tokens ·\n                          $0.0042 · 12.3 s\n',
  )
})

test('no line is wider than the terminal', () => {
  for (const columns of [40, 60, 80, 120]) {
    const stream = createMemoryStream(columns)
    const report = createReporter({ format: 'pretty', stream, env: {}, color: false })
    for (const make of Object.values(event)) report(make({ error: new Error('word '.repeat(200)) }))
    report.close()
    const lines = stream.text.replaceAll('\r\u001b[2K', '').split('\n')
    assert.ok(
      lines.every((line) => line.length < columns),
      lines.find((line) => line.length >= columns),
    )
  }
})

test('colours are for people', () => {
  assert.ok(wantsColor(true, {}))
  assert.ok(!wantsColor(false, {}))
  assert.ok(!wantsColor(true, { NO_COLOR: '1' }))
  assert.ok(wantsColor(true, { NO_COLOR: '' }))
  assert.ok(wantsColor(false, { FORCE_COLOR: '1', NO_COLOR: '1' }))
  assert.ok(!wantsColor(true, { FORCE_COLOR: '0' }))
  assert.ok(!wantsColor(true, { TERM: 'dumb' }))
  assert.deepEqual(print([event.runStarted()], { color: true }), [
    `\u001b[34m▶\u001b[39m \u001b[1mresearch   \u001b[22m  \u001b[34mstarted\u001b[39m    \u001b[2mrun ${runId}\u001b[22m`,
  ])
})

test('characters beyond ASCII are for terminals that have them', () => {
  assert.ok(hasUnicode({}, 'linux'))
  assert.ok(!hasUnicode({ TERM: 'linux' }, 'linux'))
  assert.ok(!hasUnicode({}, 'win32'))
  assert.ok(hasUnicode({ WT_SESSION: '1' }, 'win32'))
})

test('a silent reporter says nothing', () => {
  assert.deepEqual(
    print(
      Object.values(event).map((make) => make()),
      { format: 'silent' },
    ),
    [],
  )
})

test('a format that does not exist is refused', () => {
  const format = 'loud' as 'json' // a JavaScript caller's mistake
  assert.throws(() => createReporter({ format }), {
    name: 'TypeError',
    message: "Expected `format` to be 'pretty', 'json' or 'silent', got `loud` (string)",
  })
})

test('a stream that throws or fails ends nothing', () => {
  const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
  let writes = 0
  const throwing = {
    write() {
      writes++
      throw broken
    },
  }
  const report = createReporter({ format: 'json', stream: throwing })
  report(event.runStarted())
  report(event.runCompleted())
  assert.equal(writes, 1, 'what is closed is not written to again')

  let heard: ((error: Error) => void) | undefined
  const failing = {
    ...createMemoryStream(),
    on(_: 'error', listener: (error: Error) => void) {
      heard = listener
    },
  }
  const other = createReporter({ format: 'json', stream: failing })
  other(event.runStarted())
  heard?.(broken)
  other(event.runCompleted())
  assert.equal(failing.text.split('\n').length, 2)
})
