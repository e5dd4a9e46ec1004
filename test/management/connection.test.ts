/** Who reaches a store, and what becomes of those who wait when its owner goes. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { lstat, mkdir, readdir, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { isPerdureError, openRuntime, type PerdureErrorCode } from 'perdure'
import { connect } from 'perdure/client'
import { createManagedRoom, startOwner, toArray } from '../support/managed-store.ts'

const isCode = (code: PerdureErrorCode) => (error: unknown) => isPerdureError(error, code)

describe('a connection', () => {
  let room: Awaited<ReturnType<typeof createManagedRoom>>
  before(async () => {
    room = await createManagedRoom()
  })
  after(() => room.remove())

  test('to a store that nobody has open makes this process its owner, and others reach it here', async () => {
    const directory = await room.copy()
    const first = await connect(directory)
    const second = await connect(directory)
    assert.equal((await second.info()).owner.pid, process.pid)
    await second.cancel('door/ajar')
    assert.equal((await first.run('door/ajar')).status, 'cancelled')
    await second[Symbol.asyncDispose]()
    await first[Symbol.asyncDispose]()
    assert.deepEqual(
      (await readdir(directory)).filter((name) => name.startsWith('perdure.')),
      ['perdure.sock'].slice(1),
    )
  })

  test('makes no store where there is none', async () => {
    const directory = room.path('none')
    await assert.rejects(connect(directory), isCode('STORE_PATH_INVALID'))
    await mkdir(directory)
    await assert.rejects(connect(directory), isCode('STORE_PATH_INVALID'))
    assert.deepEqual(await readdir(directory), [])
    await assert.rejects(connect(''), TypeError)
  })

  test('of two clients at once reaches one owner, and each sees what the other did', async () => {
    const directory = await room.copy()
    const owner = await startOwner(directory)
    const clients = await Promise.all([connect(directory), connect(directory)])
    const [one, other] = clients
    await Promise.all([one?.send('door/ajar', { type: 'close' }), other?.cancel('helper/ann')])
    const found = await Promise.all([other?.run('door/ajar'), one?.run('helper/ann')])
    assert.deepEqual(
      found.map((run) => run?.status),
      ['completed', 'cancelled'],
    )
    for (const client of clients) await client[Symbol.asyncDispose]()
    await owner.finish()
  })

  test('hears `OWNER_GONE` while it waits, when the owner is killed; the next one opens the store itself', async () => {
    const directory = await room.copy()
    const owner = await startOwner(directory)
    const client = await connect(directory)
    const waiting = assert.rejects(toArray(client.events()), isCode('OWNER_GONE'))
    await client.send('door/ajar', { type: 'close' }, { id: 'e' })
    await owner.kill()
    await waiting
    await assert.rejects(client.info(), isCode('OWNER_GONE'))
    assert.equal((await lstat(join(directory, 'perdure.sock'))).isSocket(), true)
    const next = await connect(directory)
    assert.equal((await next.info()).owner.pid, process.pid)
    assert.equal((await next.run('door/ajar')).status, 'completed')
    await next[Symbol.asyncDispose]()
  })

  test('hears `OWNER_GONE` in the middle of whatever it has asked for', {
    skip: process.platform === 'win32' && 'it has no SIGSTOP',
  }, async () => {
    const directory = await room.copy()
    const owner = await startOwner(directory)
    const [one, other] = await Promise.all([connect(directory), connect(directory)])
    const chunks = one.stream('helper/ann')[Symbol.asyncIterator]()
    await chunks.next()
    const begun = Promise.withResolvers<void>()
    async function* endless() {
      yield Buffer.from('{"perdure":"export"')
      begun.resolve()
      await new Promise(() => {})
    }
    const followed = async () => {
      while ((await chunks.next()).done !== true);
    }
    const uploaded = other.import(endless())
    uploaded.catch(() => {})
    await begun.promise
    process.kill(owner.pid, 'SIGSTOP') // from now on it takes what it is asked, and answers nothing
    const asked = [followed(), uploaded, one.info(), other.cancel('door/ajar'), other.gc(), toArray(one.runs())]
    const ended = Promise.allSettled(asked)
    await owner.kill()
    for (const result of await ended) assert.ok(result.status === 'rejected' && isCode('OWNER_GONE')(result.reason))
  })

  test('hears `STORE_CLOSED` while it waits, when the owner closes the store', async () => {
    const directory = await room.copy()
    const runtime = await openRuntime({ directory, log: 'silent' })
    const client = await connect(directory)
    const events = client.events()[Symbol.asyncIterator]().next()
    const chunks = client.stream('helper/ann')[Symbol.asyncIterator]()
    const told = async () => {
      while ((await chunks.next()).done !== true);
    }
    const waiting = [assert.rejects(events, isCode('STORE_CLOSED')), assert.rejects(told, isCode('STORE_CLOSED'))]
    await client.info()
    await runtime.close()
    await Promise.all(waiting)
    await assert.rejects(client.info(), isCode('OWNER_GONE'))
  })

  test('waits for an owner that is just opening the store, and names one that cannot be reached', async () => {
    const directory = await room.copy()
    const owner = await startOwner(directory)
    await rm(join(directory, 'perdure.sock'))
    await assert.rejects(connect(directory), isCode('STORE_LOCKED'))
    await owner.finish()
  })

  test('opens a store in a folder where nothing is left but the socket of a dead owner', async () => {
    const directory = room.path()
    await mkdir(directory)
    await writeFile(join(directory, 'perdure.sock'), '')
    const runtime = await openRuntime({ directory, log: 'silent' })
    await using client = await connect(directory)
    assert.deepEqual(await toArray(client.runs()), [])
    await runtime.close()
  })

  test('replaces a stale socket, and what else is in its place', async () => {
    const directory = await room.copy()
    const path = join(directory, 'perdure.sock')
    await writeFile(path, 'rubbish')
    await using first = await connect(directory)
    assert.equal((await stat(path)).isSocket(), true)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.equal((await first.info()).directory.endsWith(directory.split('/').at(-1) ?? ''), true)
  })

  test('that an owner closes after it lost its lock is not that of its successor', async () => {
    const directory = await room.copy()
    const path = join(directory, 'perdure.sock')
    const runtime = await openRuntime({ directory, log: 'silent' })
    const successor = createServer()
    successor.listen(`${path}-2`)
    await once(successor, 'listening')
    await rename(`${path}-2`, path)
    await runtime.close()
    assert.equal((await lstat(path)).isSocket(), true)
    successor.close()
  })

  test('finds the socket of a store whose path is too long for one', {
    skip: process.platform === 'win32' && 'it has pipes',
  }, async () => {
    const directory = join(room.path('deep'), 'x'.repeat(90), 'store')
    const runtime = await openRuntime({ directory, log: 'silent' })
    const path = join(directory, 'perdure.sock')
    const address = await readlink(path)
    assert.ok(Buffer.byteLength(address) < 104)
    assert.equal((await stat(join(address, '..'))).mode & 0o777, 0o700)
    const client = await connect(directory)
    assert.equal((await client.info()).owner.pid, process.pid)
    await runtime.close()
    await assert.rejects(stat(address))
    await assert.rejects(lstat(path))
    await symlink(address, path) // of an owner that was killed
    await using next = await connect(directory)
    assert.equal((await next.info()).owner.pid, process.pid)
    assert.notEqual(await readlink(path), address)
  })

  test('reaches the store through a symbolic link to its folder', async () => {
    const directory = await room.copy()
    const link = room.path('link')
    await symlink(directory, link)
    await using first = await connect(directory)
    const second = await connect(link)
    const [one, other] = [await first.info(), await second.info()]
    assert.deepEqual([other.directory, other.owner.pid], [one.directory, process.pid])
  })
})

test('an export may come in one piece, however large, and what is wrong with it is told all the same', async () => {
  const room = await createManagedRoom()
  const directory = await room.copy()
  const runtime = await openRuntime({ directory, log: 'silent' })
  const store = await connect(directory)
  async function* asOne(...pieces: readonly Uint8Array[]) {
    yield Buffer.concat(pieces)
  }
  const pieces = await toArray(store.export('report/1'))
  assert.deepEqual(await store.import(asOne(...pieces), { id: 'report/one' }), { id: 'report/one' })
  const rest = Buffer.alloc(40 * 1024 ** 2)
  await assert.rejects(store.import(asOne(...pieces, rest), { id: 'report/two' }), isCode('EXPORT_INVALID'))
  await assert.rejects(store.import(asOne(rest)), isCode('EXPORT_INVALID'))
  await store[Symbol.asyncDispose]()
  await runtime.close()
  await room.remove()
})

test('what is cut off while it is imported leaves nothing, and holds nothing', async () => {
  const room = await createManagedRoom()
  const directory = await room.copy()
  const owner = await startOwner(directory)
  const store = await connect(directory)
  const pieces = await toArray(store.export('report/1'))
  const leaving = await connect(directory)
  const begun = Promise.withResolvers<void>()
  async function* half() {
    yield* pieces.slice(0, 2)
    begun.resolve()
    await new Promise(() => {}) // until its connection ends
  }
  const cut = leaving.import(half(), { id: 'report/cut' })
  cut.catch(() => {})
  await begun.promise
  await leaving[Symbol.asyncDispose]()
  await assert.rejects(cut, isCode('STORE_CLOSED'))
  async function* whole() {
    yield* pieces
  }
  const again = async (): Promise<void> => {
    const { id } = await store.import(whole(), { id: 'report/cut' })
    assert.equal(id, 'report/cut')
  }
  // The owner hears a little later that nobody is there any more.
  for (let isOver = false; !isOver; )
    isOver = await again().then(
      () => true,
      (error: unknown) => {
        if (isPerdureError(error, 'RUN_CONFLICT')) return false
        throw error
      },
    )
  assert.deepEqual(await toArray(store.verify()), [])
  await store[Symbol.asyncDispose]()
  await owner.finish()
  await room.remove()
})
