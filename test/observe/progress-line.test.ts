import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createReporter } from '../../src/observe/reporter.ts'
import { createMemoryStream, event } from '../support/log-scene.ts'

const ERASE = '\r\u001b[2K'

/** A terminal on which the model has been called. */
function openTerminal(t: TestContext, columns = 80) {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const stream = createMemoryStream(columns)
  let time = 1_000_000
  const report = createReporter({ format: 'pretty', stream, env: {}, color: false, now: () => time })
  t.after(() => report.close())
  report(event.runStarted())
  report(event.started())
  stream.text = ''
  report(event.callStarted())
  return {
    stream,
    report,
    /** What is written while time passes. */
    pass(ms: number): string {
      stream.text = ''
      time += ms
      t.mock.timers.tick(ms)
      return stream.text
    },
  }
}

test('a line tells which call is in flight, for how long and what came', (t) => {
  const { pass, report } = openTerminal(t)
  assert.equal(pass(100), `${ERASE}  ⠙ default    gpt-5-mini 0.1 s`)
  report(event.text({ delta: 'x'.repeat(1204) }))
  assert.equal(pass(100), `${ERASE}  ⠹ default    gpt-5-mini 0.2 s · 1,204 characters`)
  report(event.callStarted({ key: 'call/2', name: 'exec', kind: 'tool', time: 1_000_200 }))
  assert.equal(pass(100), `${ERASE}  ⠸ default    exec 0.1 s · 1 more`)
})

test('a burst of text draws nothing by itself', (t) => {
  const { stream, report, pass } = openTerminal(t)
  pass(100)
  report(event.text())
  stream.text = ''
  for (let i = 0; i < 1000; i++) report(event.text())
  assert.equal(stream.text, '')
  assert.equal(pass(1000).split(ERASE).length - 1, 10)
})

test('the line is taken away before anything is printed, and when the last call ends', (t) => {
  const { stream, report, pass } = openTerminal(t)
  pass(100)
  stream.text = ''
  report(event.callRetried())
  assert.equal(stream.text, `${ERASE}  ↻ default    retries    gpt-5-mini in 2.0 s, attempt 1 failed · busy\n`)
  pass(100)
  stream.text = ''
  report(event.callSettled())
  assert.equal(stream.text, ERASE)
  assert.equal(pass(1000), '', 'the timer has stopped')
})

test('the line goes when the reporter is closed', (t) => {
  const { stream, report, pass } = openTerminal(t)
  pass(100)
  stream.text = ''
  report.close()
  report.close()
  assert.equal(stream.text, `${ERASE}  ◌ default    cut off\n`)
  assert.equal(pass(1000), '')
})

test('the line goes when its run ends without the call having settled', (t) => {
  const { report, pass } = openTerminal(t)
  pass(100)
  report(event.runFailed())
  assert.equal(pass(1000), '')
})

test('what others write is not erased, and the line stays away until the next full line', (t) => {
  const { stream, report, pass } = openTerminal(t)
  pass(100)
  report(event.text({ delta: 'Hel' }))
  stream.writeForeign('Hel')
  assert.equal(pass(500), '')
  stream.text = ''
  report(event.callSettled())
  report(event.finished())
  assert.match(stream.text, /^\n {2}● default {4}finished/, 'on a line of its own')
  report(event.started({ checkpoint: 'default_2' }))
  report(event.callStarted({ checkpoint: 'default_2', time: 1_000_600 }))
  assert.equal(pass(100), `${ERASE}  ⠹ default_2  gpt-5-mini 0.1 s`)
})

test('the line fits into the terminal, whatever a call is named', (t) => {
  const { report, pass } = openTerminal(t, 50)
  report(event.callStarted({ key: 'call/2', name: `\u001b[2J\n${'日本'.repeat(50)}` }))
  const text = pass(100).replaceAll(ERASE, '')
  assert.ok(text.endsWith('…') && !/\p{Cc}/u.test(text), text)
})

test('there is no line, and no timer, where nobody watches', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const stream = createMemoryStream()
  const report = createReporter({ format: 'pretty', stream, env: {}, color: false })
  report(event.runStarted())
  report(event.started())
  report(event.callStarted())
  stream.text = ''
  t.mock.timers.tick(1000)
  report(event.text())
  assert.equal(stream.text, '')
})

test('a call of a machine is told with its run', (t) => {
  const { pass, report } = openTerminal(t)
  report(event.callSettled())
  const call = { runId: 'order-17', checkpoint: '', key: 'charge/1', kind: 'tool', name: 'charge' } as const
  report(event.callStarted({ ...call, time: 1_000_000 }))
  assert.equal(pass(100), `${ERASE}  ⠙ order-17   charge 0.1 s`)
  report(event.callSettled(call))
  assert.equal(pass(1000), '', 'the timer has stopped')
})

test('a call of a machine that was left without a word is not told for ever', (t) => {
  const { pass, report } = openTerminal(t)
  report(event.callSettled())
  report(event.callStarted({ runId: 'order-17', checkpoint: '', time: 1_000_000 }))
  assert.match(pass(598_000).slice(-40), /order-17 {3}gpt-5-mini 9 min 58 s$/)
  assert.equal(pass(2_000), ERASE)
  assert.equal(pass(1_000), '', 'the timer has stopped')
})
