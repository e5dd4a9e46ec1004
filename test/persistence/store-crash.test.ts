import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { after, describe, it } from 'node:test'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { startStoreChild } from '../support/store-child.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

async function assertAcknowledged(directory: string, acknowledged: number): Promise<void> {
  await using store = await openLevelStore(directory)
  const values = await store.getMany(Array.from({ length: acknowledged }, (_, index) => `n${index}`))
  const lost = values.flatMap((value, index) => (value !== undefined && `${Buffer.from(value)}` === `${index}` ? [] : [index]))
  assert.deepEqual(lost, [], `${lost.length} of ${acknowledged} acknowledged writes are lost`)
}

describe('a process dies while it writes (P1)', () => {
  for (let round = 0; round < 20; round += 1) {
    const killAfter = 1 + round * 13
    it(`every acknowledged write is there after a SIGKILL at about write ${killAfter}`, async () => {
      const directory = room.path()
      const child = startStoreChild(directory, 'write')
      assert.equal(await child.line(), 'open')
      let acknowledged = 0
      for await (const line of child.lines) {
        assert.equal(line, `${acknowledged}`)
        acknowledged += 1
        if (acknowledged === killAfter) child.kill()
      }
      await child.finish()
      assert.ok(acknowledged >= killAfter)
      await assertAcknowledged(directory, acknowledged)
    })
  }

  for (const call of ['mkdir', 'rename', 'unlink', 'fsync', 'fdatasync']) {
    it(`a store can be opened after a SIGKILL at any ${call} of its creation`, { skip: withoutStrace() }, async () => {
      let kills = -1
      for (let said: string | undefined; said !== 'open'; kills += 1) {
        const directory = room.path()
        const child = startStoreChild(directory, 'hold', strace(call, `signal=SIGKILL:when=${kills + 2}`))
        said = await child.line()
        await child.finish()
        assert.ok(said === undefined || said === 'open', said)
        await (await openLevelStore(directory)).close()
      }
      assert.ok(kills >= 1)
    })
  }
})

describe('a sync fails while a store writes (P1)', () => {
  it('that write fails, no later one is acknowledged, and every acknowledged one is there', {
    skip: withoutStrace(),
  }, async () => {
    const directory = room.path()
    const child = startStoreChild(directory, 'write', strace('fdatasync', 'error=EIO:when=20'))
    assert.equal(await child.line(), 'open')
    let acknowledged = 0
    let failure: { code?: string; message?: string } = {}
    for await (const line of child.lines) {
      if (line.startsWith('{')) failure = JSON.parse(line)
      else acknowledged += 1
    }
    await child.finish()
    assert.equal(failure.code, 'STORE_WRITE_FAILED')
    assert.match(failure.message ?? '', /Input\/output error.*close and open the store again/)
    assert.ok(acknowledged > 0)
    await assertAcknowledged(directory, acknowledged)
  })
})

function strace(call: string, injection: string): string[] {
  return ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:${injection}`]
}

function withoutStrace(): string | false {
  return spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0 ? false : 'needs strace with ptrace allowed'
}
