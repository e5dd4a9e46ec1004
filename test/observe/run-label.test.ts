import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toChildLabel, toRunLabel } from '../../src/observe/run-label.ts'

test('a run is told by its id, without most of the hash that ends it', () => {
  assert.equal(toRunLabel('double/6wRdeNJzEHNIsDAM'), 'double/6wRdeN')
  assert.equal(toRunLabel('order-1'), 'order-1')
})

test('an agent that works for a call is told by its name, and by that of the agent that it works for', () => {
  assert.equal(toChildLabel('boss/main/lead.2n25vY0h-lIv_FuH'), 'lead.2n25')
  assert.equal(toChildLabel('boss/main/lead.2n25vY0h-lIv_FuH/worker.x7QavY0h-lIv_FuH'), 'lead.2n25 › worker.x7Qa')
  assert.equal(toChildLabel('a/b.2n25vY0h-lIv_FuH/c.2n25vY0h-lIv_FuH/d.e.2n25vY0h-lIv_FuH'), 'c.2n25 › d.e.2n25')
  assert.equal(toChildLabel('boss/main'), undefined)
  assert.equal(toChildLabel('boss/lead.2n25vY0h-lIv_FuH/worker'), undefined)
})
