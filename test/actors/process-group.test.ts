import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { endGroup } from '../../src/actors/process-group.ts'
import { createExecRoom } from '../support/exec-room.ts'
import { eventually, isAlive } from '../support/processes.ts'

const { pidFile, remove } = await createExecRoom()
after(remove)

test('a group of which only zombies are left is gone', {
  skip: process.platform !== 'linux' && 'the state is read from /proc',
}, async () => {
  // The inner sleep leads a group of its own, and its parent becomes a program that never waits for it.
  const { path, read } = pidFile(1)
  const parent = spawn('/bin/sh', ['-c', `setsid sleep 1000 & echo $! > ${path}; exec sleep 1000`], { stdio: 'ignore' })
  try {
    const [pid = 0] = await read()
    await eventually('the group', () => readFileSync(`/proc/${pid}/stat`, 'latin1').split(' ')[4] === `${pid}` || undefined)
    assert.equal(await endGroup(pid), true)
    assert.equal(isAlive(pid), false)
    assert.equal(process.kill(pid, 0), true)
  } finally {
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  }
})
