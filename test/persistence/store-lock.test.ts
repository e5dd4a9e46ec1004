import assert from 'node:assert/strict'
import { readFile, symlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { isPerdureError } from '../../src/errors.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { startStoreChild } from '../support/store-child.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

async function failureOf(
  opening: Promise<unknown>,
  code: string,
): Promise<{ message: string; details: Record<string, unknown> }> {
  const error = await opening.then(
    () => assert.fail('the store was opened'),
    (reason: unknown) => reason,
  )
  assert.ok(isPerdureError(error), String(error))
  assert.equal(error.code, code, error.message)
  return { message: error.message, details: { ...error.details } }
}

describe('a store has one owner (P7)', () => {
  it('a store that another process holds is refused, with the pid of that process', async () => {
    const directory = room.path()
    const child = startStoreChild(directory, 'hold')
    assert.equal(await child.line(), 'open')
    const { message, details } = await failureOf(openLevelStore(directory), 'STORE_LOCKED')
    assert.match(message, new RegExp(`held by process ${child.pid}, since`))
    assert.equal(details.directory, directory)
    assert.equal(details.pid, child.pid)
    await child.finish()
    await (await openLevelStore(directory)).close()
  })

  it('the lock of a process that was killed does not stay', async () => {
    const directory = room.path()
    const child = startStoreChild(directory, 'hold')
    assert.equal(await child.line(), 'open')
    child.kill()
    await child.finish()
    assert.match(await readFile(join(directory, 'OWNER'), 'utf8'), new RegExp(`"pid":${child.pid}\\b`))
    await (await openLevelStore(directory)).close()
  })

  it('opening twice in one process is refused, and names this process', async () => {
    const directory = room.path()
    await using first = await openLevelStore(directory)
    const { message, details } = await failureOf(openLevelStore(directory), 'STORE_LOCKED')
    assert.match(message, new RegExp(`already open in this process \\(${process.pid}\\)`))
    assert.deepEqual(details, { directory, pid: process.pid })
    await first.write([])
  })

  it('a store is recognised under another name of its directory', async () => {
    const directory = room.path()
    await using _first = await openLevelStore(directory)
    const link = room.path('link')
    await symlink(directory, link)
    await failureOf(openLevelStore(link), 'STORE_LOCKED')
    await failureOf(openLevelStore(`${directory}/../${directory.split('/').at(-1)}/`), 'STORE_LOCKED')
  })

  it('a refused second opening in this process does not let another process in', async () => {
    // LevelDB closes its descriptor of LOCK when it refuses, and with it goes the POSIX lock of the first opening.
    const directory = room.path()
    await using _first = await openLevelStore(directory)
    await failureOf(openLevelStore(directory), 'STORE_LOCKED')
    const child = startStoreChild(directory, 'hold')
    const said = JSON.parse((await child.line()) ?? '')
    await child.finish()
    assert.equal(said.code, 'STORE_LOCKED')
    assert.equal(said.details.pid, process.pid)
  })

  it('of several openings at once exactly one succeeds', async () => {
    const directory = room.path()
    const openings = await Promise.allSettled(Array.from({ length: 8 }, () => openLevelStore(directory)))
    const stores = openings.flatMap((opening) => (opening.status === 'fulfilled' ? [opening.value] : []))
    const refused = openings.flatMap((opening) => (opening.status === 'rejected' ? [opening.reason.code] : []))
    assert.deepEqual([stores.length, refused], [1, Array(7).fill('STORE_LOCKED')])
    await stores[0]?.close()
    await (await openLevelStore(directory)).close()
  })

  for (const [what, text] of [
    ['is garbage', '\u0000{'],
    ['has the wrong shape', '{"pid":"1"}'],
    ['names a process that is dead', JSON.stringify({ pid: 2 ** 22 + 1, startedAt: 1, hostname: hostname(), epoch: 1 })],
  ] as const) {
    it(`a locked store whose owner file ${what} is held by another process`, async () => {
      const directory = room.path()
      const child = startStoreChild(directory, 'hold')
      assert.equal(await child.line(), 'open')
      await writeFile(join(directory, 'OWNER'), text)
      const { message, details } = await failureOf(openLevelStore(directory), 'STORE_LOCKED')
      assert.match(message, /held by another process/)
      assert.deepEqual(details, { directory })
      await child.finish()
      await (await openLevelStore(directory)).close()
    })
  }

  it('an owner on another machine is named with its machine', async () => {
    const directory = room.path()
    const child = startStoreChild(directory, 'hold')
    assert.equal(await child.line(), 'open')
    await writeFile(join(directory, 'OWNER'), JSON.stringify({ pid: 12, startedAt: 1, hostname: 'elsewhere', epoch: 1 }))
    const { message } = await failureOf(openLevelStore(directory), 'STORE_LOCKED')
    assert.match(message, /process 12 on elsewhere/)
    await child.finish()
  })
})
