import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { isOfEarlierBoot, isRunning, parseIdentity, parseStat, readIdentity } from '../../src/actors/process-identity.ts'

const isKnown = process.platform === 'linux' || process.platform === 'darwin'
const skip = !isKnown && 'processes are identified on Linux and macOS only'

test('a process is the same as long as it lives, and not afterwards', { skip }, async () => {
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' })
  const identity = readIdentity(child.pid ?? 0)
  assert.ok(identity)
  assert.deepEqual(readIdentity(child.pid ?? 0), identity)
  assert.equal(isRunning(identity), true)
  assert.equal(isOfEarlierBoot(identity), false)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(isRunning(identity), false)
})

test('a process with the number of another that started at another time, or in another boot, is not that one', { skip }, () => {
  const own = readIdentity(process.pid)
  assert.ok(own)
  assert.equal(isRunning(own), true)
  assert.equal(isRunning({ ...own, startedAt: `${own.startedAt}1` }), false)
  assert.equal(isRunning({ ...own, boot: 'another' }), false)
  assert.equal(isOfEarlierBoot({ ...own, boot: 'another' }), true)
})

test('a number that no process has is not an identity', { skip }, () => {
  assert.equal(readIdentity(2 ** 30), undefined)
})

test('the name of a process may look like the rest of the line', () => {
  const numbers = Array.from({ length: 40 }, (_, index) => index + 4).join(' ')
  assert.deepEqual(parseStat(`12 (a) S 1 2 (b) R ${numbers}`), { state: 'R', group: 5, session: 6, startedAt: '22' })
  assert.equal(parseStat(''), undefined)
})

test('an identity that was damaged is none', () => {
  const identity = { pid: 12, startedAt: '1', boot: '' }
  assert.deepEqual(parseIdentity({ ...identity, version: 1 }), identity)
  for (const wrong of [
    null,
    'text',
    {},
    { ...identity, pid: 1 },
    { ...identity, pid: -12 },
    { ...identity, startedAt: 1 },
    { pid: 12, startedAt: '1' },
  ])
    assert.equal(parseIdentity(wrong), undefined)
})
