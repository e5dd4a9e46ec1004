import assert from 'node:assert/strict'
import { access, chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { Level } from 'level'
import { isPerdureError, type PerdureError, type PerdureErrorCode } from '../../src/errors.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { mountSmallDisk, noSmallDisk } from '../support/small-disk.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

const value = new TextEncoder().encode('value')

async function refusal(opening: Promise<unknown>, code: PerdureErrorCode, words: RegExp): Promise<PerdureError> {
  const error = await opening.then(
    () => assert.fail('the store was opened'),
    (reason: unknown) => reason,
  )
  assert.ok(isPerdureError(error), String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, words)
  assert.equal(typeof error.details.directory, 'string')
  return error
}

/** A closed store with the records k1 … kN, one for each opening. */
async function makeStore(openings = 1): Promise<string> {
  const directory = room.path()
  for (let count = 1; count <= openings; count += 1) {
    const store = await openLevelStore(directory)
    await store.write([{ type: 'put', key: `k${count}`, value }])
    await store.close()
  }
  return directory
}

async function filesOf(directory: string, pattern: RegExp): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => pattern.test(name))
  assert.ok(names.length > 0, `no ${pattern} in ${directory}`)
  return names.map((name) => join(directory, name))
}

/** Works on the database behind a store, as a foreign program would. */
async function withLevel(directory: string, work: (database: Level) => Promise<void>): Promise<void> {
  const database = new Level(directory)
  await database.open()
  await work(database)
  await database.close()
}

async function formatOf(directory: string): Promise<Record<string, number>> {
  let text: string | undefined
  await withLevel(directory, async (database) => {
    text = await database.get('!perdure')
  })
  return JSON.parse(text ?? 'null')
}

describe('opening a directory', () => {
  it('creates it with its parents, readable by its user only', async () => {
    const directory = join(room.path(), 'a', 'b')
    const store = await openLevelStore(directory)
    assert.equal(store.location, directory)
    assert.equal((await stat(directory)).mode & 0o777, 0o700)
    await store.close()
    const { format, epoch, createdAt } = await formatOf(directory)
    assert.deepEqual([format, epoch], [1, 1])
    assert.ok(createdAt !== undefined && Math.abs(Date.now() - createdAt) < 3_600_000)
    assert.ok(!(await readdir(directory)).includes('CREATING'))
  })

  it('closes the folder that it makes a store of, and the files in it, to other users', {
    skip: process.platform === 'win32',
  }, async () => {
    const directory = room.path()
    await mkdir(directory)
    await chmod(directory, 0o755)
    const before = process.umask(0o022)
    try {
      const store = await openLevelStore(directory)
      const modes = await Promise.all(
        (await readdir(directory)).map(async (name) => [name, (await stat(join(directory, name))).mode & 0o777]),
      )
      assert.deepEqual(
        modes.filter(([, mode]) => mode !== 0o600),
        [],
      )
      assert.ok(modes.length > 4)
      assert.equal((await stat(directory)).mode & 0o777, 0o700)
      await store.close()
      await chmod(directory, 0o750) // opened on purpose
      await chmod(join(directory, 'LOCK'), 0o640)
      await (await openLevelStore(directory)).close()
      assert.equal((await stat(directory)).mode & 0o777, 0o750)
      assert.equal((await stat(join(directory, 'LOCK'))).mode & 0o777, 0o640)
    } finally {
      process.umask(before)
    }
  })

  it('begins an epoch each time and keeps the time of creation', async () => {
    const directory = await makeStore()
    const first = await formatOf(directory)
    await (await openLevelStore(directory)).close()
    assert.deepEqual(await formatOf(directory), { ...first, epoch: 2 })
  })

  it('takes one that is empty, also the root of a fresh volume', async () => {
    const directory = room.path()
    await mkdir(join(directory, 'lost+found'), { recursive: true })
    await (await openLevelStore(directory)).close()
  })

  it('refuses a path that is not a string or is empty with a TypeError', async () => {
    await assert.rejects(openLevelStore(''), TypeError)
    await assert.rejects(openLevelStore(42 as unknown as string), TypeError) // as a caller without types could
  })

  it('refuses a file, a path below a file, and a path that no file system has', async () => {
    const file = room.path('file')
    await writeFile(file, 'text')
    const error = await refusal(openLevelStore(file), 'STORE_PATH_INVALID', /Choose the path of a directory/)
    assert.equal(error.details.directory, file)
    await refusal(openLevelStore(join(file, 'store')), 'STORE_PATH_INVALID', /ENOTDIR/)
    await refusal(openLevelStore(room.path('x'.repeat(300))), 'STORE_PATH_INVALID', /ENAMETOOLONG/)
    await refusal(openLevelStore(room.path('nul\u0000')), 'STORE_PATH_INVALID', /null bytes/)
    assert.equal(await readFile(file, 'utf8'), 'text')
  })

  it('refuses a directory with other files in it and leaves it as it was', async () => {
    const directory = room.path()
    await mkdir(directory)
    await writeFile(join(directory, 'thesis.txt'), 'text')
    await refusal(openLevelStore(directory), 'STORE_PATH_INVALID', /holds files that are not a store/)
    assert.deepEqual(await readdir(directory), ['thesis.txt'])
  })

  it('refuses a LevelDB database of another program and leaves its records as they were', async () => {
    const directory = room.path()
    await withLevel(directory, (database) => database.put('theirs', 'x'))
    await refusal(openLevelStore(directory), 'STORE_PATH_INVALID', /did not create/)
    await withLevel(directory, async (database) => assert.deepEqual(await database.keys().all(), ['theirs']))
  })

  it('refuses a read-only file system, with and without a store on it', { skip: noSmallDisk }, async () => {
    await using disk = await mountSmallDisk(room.path('disk'), '8m')
    const directory = join(disk.path, 'store')
    await (await openLevelStore(directory)).close()
    disk.makeReadOnly()
    await refusal(openLevelStore(directory), 'STORE_NOT_WRITABLE', /read-only|EROFS/i)
    await refusal(openLevelStore(join(disk.path, 'other')), 'STORE_NOT_WRITABLE', /EROFS/)
  })

  const isRoot = process.getuid?.() === 0
  it('refuses a directory that this user may not write', { skip: isRoot && 'root may write everything' }, async () => {
    const directory = room.path()
    await mkdir(directory, { mode: 0o500 })
    await refusal(openLevelStore(directory), 'STORE_NOT_WRITABLE', /EACCES/)
    await refusal(openLevelStore(join(directory, 'store')), 'STORE_NOT_WRITABLE', /EACCES/)
  })

  it('ends with ABORTED when its signal is aborted, and lets go of the directory', async () => {
    const directory = room.path()
    await refusal(openLevelStore(directory, { signal: AbortSignal.abort() }), 'ABORTED', /aborted/)
    await assert.rejects(access(directory))
    const controller = new AbortController()
    const opening = openLevelStore(directory, { signal: controller.signal })
    controller.abort(new Error('changed my mind'))
    const error = await refusal(opening, 'ABORTED', /aborted/)
    assert.equal((error.cause as Error).message, 'changed my mind') // the reason given above
    await (await openLevelStore(directory)).close()
  })
})

describe('opening a store that was not finished', () => {
  it('finishes it when LevelDB had not even begun', async () => {
    const directory = room.path()
    await mkdir(directory)
    await writeFile(join(directory, 'CREATING'), '')
    await (await openLevelStore(directory)).close()
    assert.ok(!(await readdir(directory)).includes('CREATING'))
  })

  it('finishes it when the database was there and the format record was not', async () => {
    const directory = room.path()
    await withLevel(directory, async () => {})
    await writeFile(join(directory, 'CREATING'), '')
    await (await openLevelStore(directory)).close()
    assert.equal((await formatOf(directory)).epoch, 1)
  })

  it('goes on with it when only the mark was left', async () => {
    const directory = await makeStore()
    await writeFile(join(directory, 'CREATING'), '')
    await using store = await openLevelStore(directory)
    assert.deepEqual(await store.get('k1'), value)
    assert.ok(!(await readdir(directory)).includes('CREATING'))
  })
})

describe('opening a damaged store', () => {
  it('refuses a format that is newer and changes nothing', async () => {
    const directory = await makeStore()
    const newer = JSON.stringify({ format: 2, shape: 'unknown' })
    await withLevel(directory, (database) => database.put('!perdure', newer))
    const error = await refusal(
      openLevelStore(directory),
      'STORE_FORMAT_NEWER',
      /has format 2; this version of Perdure reads up to 1/,
    )
    assert.deepEqual(error.details, { directory, format: 2, newestKnown: 1 })
    await withLevel(directory, async (database) => assert.equal(await database.get('!perdure'), newer))
  })

  for (const garbage of [
    '',
    'text',
    '[]',
    '{"format":"1"}',
    '{"format":0}',
    '{"format":1}',
    '{"format":1,"createdAt":1,"epoch":null}',
  ]) {
    it(`refuses the format record ${JSON.stringify(garbage)}`, async () => {
      const directory = await makeStore()
      await withLevel(directory, (database) => database.put('!perdure', garbage))
      await refusal(openLevelStore(directory), 'STORE_CORRUPT', /format record is unreadable/)
    })
  }

  it('refuses one whose format record is gone', async () => {
    const directory = await makeStore()
    await withLevel(directory, (database) => database.del('!perdure'))
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /format record is gone/)
  })

  it('refuses one whose MANIFEST is empty, with the words of LevelDB', async () => {
    const directory = await makeStore()
    for (const file of await filesOf(directory, /^MANIFEST-/)) await truncate(file, 0)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /LevelDB said "Corruption: .*Restore the directory from a backup/)
  })

  it('refuses one whose MANIFEST holds other bytes', async () => {
    const directory = await makeStore()
    for (const file of await filesOf(directory, /^MANIFEST-/)) await writeFile(file, Buffer.alloc(300, 0xa5))
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /LevelDB said/)
  })

  it('refuses one whose MANIFEST is missing', async () => {
    const directory = await makeStore()
    for (const file of await filesOf(directory, /^MANIFEST-/)) await rm(file)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /LevelDB said .*MANIFEST/)
  })

  it('refuses one whose CURRENT is missing and does not make a new database there', async () => {
    const directory = await makeStore()
    await rm(join(directory, 'CURRENT'))
    const before = await readdir(directory)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /CURRENT is missing/)
    assert.deepEqual(await readdir(directory), before)
  })

  it('refuses one whose CURRENT is empty', async () => {
    const directory = await makeStore()
    await truncate(join(directory, 'CURRENT'), 0)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /LevelDB said/)
  })

  it('refuses one whose log was deleted, which LevelDB opens as an empty database', async () => {
    const directory = await makeStore()
    for (const file of await filesOf(directory, /\.log$/)) await rm(file)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /its records are gone/)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /its records are gone/)
  })

  it('refuses one whose newest log was deleted, which LevelDB opens with the older records', async () => {
    const directory = await makeStore(3)
    for (const file of await filesOf(directory, /\.log$/)) await rm(file)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /newest records are gone: .* opened 3 times/)
    await rm(join(directory, 'OWNER'))
    await using store = await openLevelStore(directory)
    assert.deepEqual(await store.getMany(['k2', 'k3']), [value, undefined])
  })

  it('refuses one whose table was deleted', async () => {
    const directory = await makeStore(3)
    for (const file of await filesOf(directory, /\.ldb$/)) await rm(file)
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /LevelDB said "Corruption: .*missing files/)
  })

  it('can be tried again in the same process once it is repaired', async () => {
    const directory = await makeStore()
    const current = await readFile(join(directory, 'CURRENT'))
    await rm(join(directory, 'CURRENT'))
    await refusal(openLevelStore(directory), 'STORE_CORRUPT', /./)
    await writeFile(join(directory, 'CURRENT'), current)
    await using store = await openLevelStore(directory)
    assert.deepEqual(await store.get('k1'), value)
  })
})
