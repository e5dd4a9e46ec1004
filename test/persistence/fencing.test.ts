import assert from 'node:assert/strict'
import { copyFile, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { MemoryLevel } from 'memory-level'
import { isPerdureError, PerdureError } from '../../src/errors.ts'
import { createLevelStore } from '../../src/persistence/level-store.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'
import { type StoreChild, startStoreChild, takeOver } from '../support/store-child.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
/** A process that sleeps does not notice that a failed test has left it alone. */
const started: StoreChild[] = []
after(() => {
  for (const child of started) child.kill()
  return room.remove()
})
const track = (child: StoreChild): StoreChild => {
  started.push(child)
  return child
}

const put = (key: string): Operation => ({ type: 'put', key, value: new TextEncoder().encode(key) })
const isFenced = (error: unknown): boolean => isPerdureError(error, 'STORE_FENCED')
const keysOf = async (store: Store): Promise<string[]> => {
  const keys: string[] = []
  for await (const [key] of store.entries({ gte: '', lt: '\u{10ffff}' })) keys.push(key)
  return keys
}

describe('a process that slept while another took its store', () => {
  it('writes nothing more when it wakes up, and says who holds the store', async () => {
    const directory = room.path()
    const sleeper = track(startStoreChild(directory, 'obey'))
    assert.equal(await sleeper.line(), 'open')
    sleeper.tell('a1')
    assert.equal(await sleeper.line(), 'done')
    sleeper.pause()
    const owner = track(await takeOver(directory, 'obey'))
    owner.tell('b1')
    assert.equal(await owner.line(), 'done')
    sleeper.tell('a2')
    sleeper.tell('a3')
    sleeper.wake()
    for (const _ of ['a2', 'a3']) {
      const said = JSON.parse((await sleeper.line()) ?? '')
      assert.equal(said.code, 'STORE_FENCED')
      assert.match(
        said.message,
        new RegExp(`now held by process ${owner.pid} on .* \\(epoch 2\\), since .*T.*Z: .*${sleeper.pid}, epoch 1`),
      )
      const { holder, ...details } = said.details
      assert.deepEqual(details, { directory, epoch: 1 })
      assert.deepEqual([holder.pid, holder.hostname, holder.epoch], [owner.pid, hostname(), 2])
    }
    owner.tell('b2')
    assert.equal(await owner.line(), 'done')
    await sleeper.finish()
    owner.tell('b3')
    assert.equal(await owner.line(), 'done')
    await owner.finish()
    await using store = await openLevelStore(directory)
    assert.deepEqual([store.epoch, await keysOf(store)], [3, ['a1', 'b1', 'b2', 'b3']])
  })

  it('never acknowledges what the other did not see, wherever in a write it was put to sleep', async () => {
    for (let round = 0; round < 6; round += 1) {
      const directory = room.path()
      const sleeper = track(startStoreChild(directory, 'write'))
      assert.equal(await sleeper.line(), 'open')
      for (let count = 0; count < 20 + round * 7; count += 1) await sleeper.line()
      sleeper.pause()
      const owner = track(await takeOver(directory, 'obey'))
      owner.tell('theirs')
      assert.equal(await owner.line(), 'done')
      sleeper.wake()
      let last = -1
      let end = ''
      for await (const line of sleeper.lines) {
        if (/^\d+$/.test(line)) last = Number(line)
        else end = JSON.parse(line).code
      }
      assert.equal(end, 'STORE_FENCED')
      await owner.finish()
      await using store = await openLevelStore(directory)
      const keys = new Set(await keysOf(store))
      assert.ok(keys.has('theirs'))
      for (let count = 0; count <= last; count += 1) assert.ok(keys.has(`n${count}`), `n${count} of ${last} in round ${round}`)
    }
  })
})

describe('the fence', () => {
  /** A store whose fence the test closes. */
  async function openFenced() {
    const database = new MemoryLevel<string, Uint8Array>({ storeEncoding: 'view', valueEncoding: 'view' })
    await database.open()
    const fence = { checks: 0, closedAfter: Number.POSITIVE_INFINITY, check }
    function check(): PerdureError | undefined {
      fence.checks += 1
      return fence.checks > fence.closedAfter ? new PerdureError('STORE_FENCED', 'taken over') : undefined
    }
    return { database, fence, store: createLevelStore(database, { location: 'fenced', epoch: 1, fence }) }
  }

  it('is asked before a write and after it: what another did not see is not acknowledged', async () => {
    const { fence } = await openFenced()
    assert.equal(fence.checks, 0)
    for (let checks = 0; checks < 2; checks += 1) {
      const opened = await openFenced()
      opened.fence.closedAfter = checks
      await assert.rejects(opened.store.write([put('a')]), isFenced)
      await opened.store.close()
    }
    const { store, fence: open } = await openFenced()
    await store.write([put('a')])
    assert.equal(open.checks, 2)
    await store.close()
  })

  it('closes the database of one who is no owner any more, so that LevelDB’s own housekeeping ends', async () => {
    const { database, fence, store } = await openFenced()
    await store.write([put('a'), put('b')])
    const begun = store.entries({ gte: '', lt: 'z' })[Symbol.asyncIterator]()
    await begun.next()
    fence.closedAfter = 0
    await assert.rejects(store.write([put('c')]), isFenced)
    assert.notEqual(database.status, 'open')
    await assert.rejects(store.get('a'), isFenced)
    await begun.next() // of the page that was read before
    await assert.rejects(begun.next(), isFenced)
    await store.close()
    assert.equal(database.status, 'closed')
    await assert.rejects(store.get('a'), (error) => isPerdureError(error, 'STORE_CLOSED'))
  })

  it('is not asked at each read', async () => {
    const { fence, store } = await openFenced()
    for (let count = 0; count < 100; count += 1) await store.get('a')
    assert.ok(fence.checks < 10, String(fence.checks))
    await store.close()
  })
})

describe('a healthy owner', () => {
  const disturbances: readonly (readonly [string, (directory: string) => Promise<void>])[] = [
    ['the OWNER file is missing', (directory) => rm(join(directory, 'OWNER'))],
    ['the OWNER file is garbage', (directory) => writeFile(join(directory, 'OWNER'), '\u0000{')],
    ['the OWNER file has the times of another day', (directory) => utimes(join(directory, 'OWNER'), 1, 1)],
    [
      'the OWNER file is a copy of itself',
      async (directory) => {
        await copyFile(join(directory, 'OWNER'), join(directory, 'copy'))
        await rename(join(directory, 'copy'), join(directory, 'OWNER'))
      },
    ],
    [
      'the OWNER file is that of an earlier opening',
      (directory) =>
        writeFile(join(directory, 'OWNER'), JSON.stringify({ pid: 1, startedAt: 1, hostname: hostname(), epoch: 1 })),
    ],
    ['the LOCK file is deleted and nobody has opened the store', (directory) => rm(join(directory, 'LOCK'))],
    [
      'both files are deleted',
      async (directory) => {
        await rm(join(directory, 'LOCK'))
        await rm(join(directory, 'OWNER'))
      },
    ],
    ['its directory is renamed', (directory) => rename(directory, `${directory}-moved`)],
  ]
  for (const [what, disturb] of disturbances) {
    it(`goes on when ${what}`, async () => {
      const directory = room.path()
      await (await openLevelStore(directory)).close()
      await using store = await openLevelStore(directory)
      await store.write([put('a')])
      await disturb(directory)
      await store.write([put('b')])
      await store.write([put('c')])
      assert.deepEqual(await keysOf(store), ['a', 'b', 'c'])
    })
  }

  it('stops when the OWNER file names a later opening, though the LOCK file is its own', async () => {
    const directory = room.path()
    await using store = await openLevelStore(directory)
    const mine = JSON.parse(await readFile(join(directory, 'OWNER'), 'utf8'))
    for (const other of [
      { ...mine, epoch: 2 },
      { ...mine, pid: mine.pid + 1 },
    ]) {
      await writeFile(join(directory, 'OWNER'), JSON.stringify(other))
      await assert.rejects(store.write([put('a')]), isFenced)
    }
    await writeFile(join(directory, 'OWNER'), JSON.stringify(mine))
    await assert.rejects(store.write([put('a')]), isFenced) // it may have missed something
  })

  it('stops when the LOCK file was made anew and who did so has not said who it is', async () => {
    const directory = room.path()
    await using store = await openLevelStore(directory)
    await rm(join(directory, 'LOCK'))
    await writeFile(join(directory, 'LOCK'), '')
    await assert.rejects(store.write([put('a')]), (error) => {
      assert.ok(isPerdureError(error, 'STORE_FENCED'))
      assert.match(error.message, /now held by another process: /)
      assert.deepEqual(error.details, { directory, epoch: 1 })
      return true
    })
  })
})
