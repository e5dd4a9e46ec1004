/** A retry by death: the number of the attempt and its time are on disk. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { RetryAppOrder } from '../support/doubt-app-retry.ts'
import { runProgram } from '../support/program.ts'
import { createTempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/doubt-app-retry.ts', import.meta.url))

test('a process that is killed while it waits for the third attempt leaves it to the next, which makes it when it is due', async (context) => {
  const room = await createTempRoom()
  context.after(() => room.remove())
  const directory = room.path()
  const effects = `${directory}.effects`
  const live = (order: RetryAppOrder) => runProgram(app, { cwd: room.root, env: { ORDER: JSON.stringify(order) } })

  const first = await live({ directory, effects })
  assert.equal(first.signal, 'SIGKILL', first.stderr)
  const { now, due } = JSON.parse(first.stdout)
  assert.ok(due > now)
  const second = await live({ directory, effects, now })
  assert.equal(second.exitCode, 0, second.stderr)
  assert.deepEqual(JSON.parse(second.stdout), { due, early: 2, output: 'attempt 3' })
  const attempts = readFileSync(effects, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    attempts.map(({ attempt }) => attempt),
    [1, 2, 3],
  )
  assert.equal(new Set(attempts.map(({ key }) => key)).size, 1)
  assert.equal(attempts[2].at, due)
})
