/** What a death is, in one process. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { openMemoryStore } from 'perdure'
import { type CrashSubject, exploreCrashes, type Outside } from 'perdure/testing'
import { createDeath } from '../../src/testing/explore/death.ts'
import { createMortalStore } from '../../src/testing/explore/mortal-store.ts'
import { createPulse } from '../../src/testing/explore/pulse.ts'
import type { WriteDeath } from '../../src/testing/explore/schedule.ts'
import { createVirtualClock } from '../../src/testing/explore/virtual-clock.ts'

const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await nextTurn()
}

async function writeTwice(fate: WriteDeath) {
  const kept = await openMemoryStore()
  const death = createDeath()
  const store = createMortalStore(kept, death, createPulse(), fate)
  const said: string[] = []
  const put = (key: string): Promise<unknown> =>
    store.write([{ type: 'put', key, value: new Uint8Array([1]) }]).then(
      () => said.push(`${key} is acknowledged`),
      () => said.push(`${key} failed`),
    )
  await put('a')
  void put('b')
  await turns()
  return { kept, store, death, said }
}

describe('a life that dies', () => {
  test('before a write: it is not applied, nothing follows it, and reading goes on until the life is over', async () => {
    const { kept, store, death, said } = await writeTwice({ write: 2, when: 'before' })
    assert.deepEqual(
      { isHeld: store.isHeld, isDead: death.isDead, writes: store.writes },
      { isHeld: true, isDead: false, writes: 2 },
    )
    assert.deepEqual(await store.get('a'), new Uint8Array([1]))
    assert.equal(await kept.get('b'), undefined)
    assert.deepEqual(said, ['a is acknowledged'])
  })

  test('after a write: it is applied, and nobody hears of it', async () => {
    const { kept, death, said } = await writeTwice({ write: 2, when: 'after' })
    assert.equal(death.isDead, true)
    assert.deepEqual(await kept.get('b'), new Uint8Array([1]))
    assert.deepEqual(said, ['a is acknowledged'])
  })

  test('hears nothing of its store any more, and writes nothing', async () => {
    const { kept, store } = await writeTwice({ write: 2, when: 'after' })
    const heard: string[] = []
    store.get('a').finally(() => heard.push('get'))
    store.getMany(['a']).finally(() => heard.push('getMany'))
    for (const operations of [[], [{ type: 'del', key: 'a' } as const]])
      store.write(operations).finally(() => heard.push('write'))
    store
      .entries({ gte: 'a', lt: 'z' })
      [Symbol.asyncIterator]()
      .next()
      .finally(() => heard.push('entries'))
    store.compact().finally(() => heard.push('compact'))
    store.close().finally(() => heard.push('close'))
    await turns()
    assert.deepEqual(heard, [])
    assert.deepEqual(await kept.get('a'), new Uint8Array([1]))
  })

  test('writes nothing that was asked for in the same turn', async () => {
    const kept = await openMemoryStore()
    const death = createDeath()
    const store = createMortalStore(kept, death, createPulse())
    void store.write([{ type: 'put', key: 'a', value: new Uint8Array([1]) }])
    death.die()
    await turns()
    assert.equal(await kept.get('a'), undefined)
  })

  test('hears nothing of its clock any more', async () => {
    const [time, death] = [{ now: 0 }, createDeath()]
    const clock = createVirtualClock(time, death)
    const heard: number[] = []
    for (const ms of [10, 20, 0]) clock.setTimeout(() => heard.push(ms), ms)
    await turns()
    assert.equal(clock.jump(), true)
    assert.deepEqual([heard, time.now], [[0, 10], 10])
    death.die()
    clock.jump()
    assert.deepEqual(heard, [0, 10])
  })

  test('has no outside any more', async () => {
    let dead: Outside | undefined
    let heard = 0
    const subject: CrashSubject = async (life) => {
      if (life.number === 1) dead = life.outside
      else {
        const hear = (): number => heard++
        void dead?.effect('ghost').finally(hear)
        void dead?.once('ghost', async () => {}).finally(hear)
      }
      const runtime = await life.open()
      await delay(1)
      return await runtime.flow('flow', async (_, { step }) => step('step', () => 1)).run(1)
    }
    const { deaths } = await exploreCrashes(subject, { pairs: 0 })
    assert.ok(deaths > 4)
    assert.equal(heard, 0)
  })
})
