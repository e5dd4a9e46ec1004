/** What is said of a store whose files were damaged: by LevelDB when it is opened, or by `verify`. */
import assert from 'node:assert/strict'
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Finding } from '../../src/management/finding.ts'
import { verifyStore } from '../../src/management/verify.ts'
import { encodeRecord } from '../../src/persistence/codec.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { createRunLog, type RunLog } from '../../src/persistence/run-log.ts'
import type { Store } from '../../src/persistence/store.ts'
import { toArray } from '../support/managed-store.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const RUNS = 3
const STEPS = 120
const filler = Array.from({ length: 400 }, (_, index) => (index * 7919) % 251)

const toText = ({ kind, run, costs }: Finding): string => `${kind} ${run} ${costs}`

let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

/** Runs whose steps and snapshots take turns in the log; each ends with a commit after those of all others. */
async function writeRuns(store: Store): Promise<void> {
  const logs: RunLog[] = []
  const context = { store, committer: createCommitter(store, { sync: false }), now: () => 1_000 }
  for (let run = 0; run < RUNS; run += 1) {
    const log = createRunLog(context, { id: `flow/${run}`, kind: 'flow', name: 'flow', data: {} })
    const items: unknown[] = []
    log.follow(() => ({ items: [...items] }))
    logs.push(log)
    for (let step = 0; step < STEPS; step += 1) {
      items.push(step, filler)
      log.putStep(`step/${step}`, { kind: 'step', name: `${step}`, status: 'ok', attempt: 1, startedAt: 1, value: filler })
      await log.commit()
    }
  }
  for (const log of logs) {
    log.update({ data: { isLast: true } })
    await log.commit()
  }
}

/** A closed store: its records in the log, or, compacted, in a table. */
async function makeStore(options: { readonly isCompacted?: boolean } = {}): Promise<string> {
  const directory = room.path()
  const store = await openLevelStore(directory)
  await writeRuns(store)
  if (options.isCompacted === true) await store.compact()
  await store.close()
  return directory
}

async function findFile(directory: string, ending: string): Promise<string> {
  const name = (await readdir(directory))
    .filter((file) => file.endsWith(ending))
    .sort()
    .at(-1)
  assert.ok(name !== undefined, `no ${ending}`)
  return join(directory, name)
}

async function damage(path: string, change: (bytes: Buffer) => void): Promise<void> {
  const bytes = await readFile(path)
  change(bytes)
  await writeFile(path, bytes)
}

async function verify(directory: string): Promise<readonly Finding[]> {
  const store = await openLevelStore(directory)
  try {
    return await toArray(verifyStore(store))
  } finally {
    await store.close()
  }
}

describe('the files of a store', () => {
  test('that are whole are told nothing of', async () => {
    assert.deepEqual(await verify(await makeStore()), [])
    assert.deepEqual(await verify(await makeStore({ isCompacted: true })), [])
  })

  test('a flipped byte of the log: what LevelDB dropped, and the run that misses steps', async () => {
    const directory = await makeStore()
    await damage(await findFile(directory, '.log'), (bytes) => {
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1
    })
    const found = await verify(directory)
    assert.deepEqual([...new Set(found.map(toText))], ['lost undefined unknown', 'journal flow/1 run', 'snapshot flow/1 run'])
    assert.match(found[0]?.what ?? '', /^LevelDB dropped \d+ bytes of \d+\.log when the store was opened on \d{4}-/)
    assert.match(found.find(({ kind }) => kind === 'journal')?.what ?? '', /^Its journal has \d+ records instead of 120$/)
    assert.match(found.find(({ kind }) => kind === 'snapshot')?.what ?? '', /record \d+ of it (is missing|does not follow)/)
    const again = await verify(directory)
    assert.equal(
      again.filter(({ kind }) => kind === 'lost').length,
      found.length - 2,
      'LevelDB keeps its notes for one more time',
    )
    assert.equal((await verify(directory)).length, 2)
  })

  test('a log that was cut: the store as it was earlier', async () => {
    const directory = await makeStore()
    const log = await findFile(directory, '.log')
    await truncate(log, (await readFile(log)).length >> 1)
    assert.deepEqual(await verify(directory), [])
  })

  test('a log that is gone, or cut to nothing, stops the opening', async () => {
    for (const change of [(path: string) => rm(path), (path: string) => truncate(path, 0)]) {
      const directory = await makeStore()
      await (await openLevelStore(directory)).close()
      await change(await findFile(directory, '.log'))
      await assert.rejects(verify(directory), { code: 'STORE_CORRUPT', message: /its newest records are gone/ })
    }
  })

  for (const name of ['CURRENT', 'MANIFEST', '.ldb'])
    test(`without ${name} it cannot be opened`, async () => {
      const directory = await makeStore({ isCompacted: true })
      const file = (await readdir(directory)).find((found) => found.includes(name))
      await rm(join(directory, file ?? ''))
      await assert.rejects(verify(directory), { code: 'STORE_CORRUPT' })
    })

  test('a block of a table that cannot be read: where it is, and the run that misses its records', async () => {
    const directory = await makeStore({ isCompacted: true })
    await damage(await findFile(directory, '.ldb'), (bytes) => bytes.fill(0xff, bytes.length >> 1, (bytes.length >> 1) + 4_096))
    const found = await verify(directory)
    const gap = found.find(({ kind }) => kind === 'unreadable')
    assert.match(gap?.what ?? '', /^LevelDB cannot read what is between `r\/flow%2F1\/.*` and `r\/flow%2F1\/.*`/)
    const others = found.filter((finding) => finding !== gap)
    assert.ok(others.length > 0 && others.every(({ run, costs }) => run === 'flow/1' && costs === 'run'))
  })

  test('a table of which nothing can be read', async () => {
    const directory = await makeStore({ isCompacted: true })
    await damage(await findFile(directory, '.ldb'), (bytes) => bytes.fill(0xff, 0, bytes.length - 100))
    await assert.rejects(verify(directory), { code: 'STORE_CORRUPT' })
  })

  test('a byte of a record that LevelDB reads as it is', async () => {
    const directory = room.path()
    const store = await openLevelStore(directory)
    await writeRuns(store)
    const key = 'r/flow%2F0/s/step/x'
    const noise = 'the word that is changed'
    await store.write([
      { type: 'put', key, value: encodeRecord(key, { kind: 'step', name: noise, status: 'ok', attempt: 1, startedAt: 1 }) },
    ])
    await store.compact()
    await store.close()
    await damage(await findFile(directory, '.ldb'), (bytes) => {
      const at = bytes.indexOf('the word')
      assert.ok(at > 0)
      bytes[at] = (bytes[at] ?? 0) ^ 1
    })
    const found = await verify(directory)
    assert.deepEqual(found.map(toText), ['step flow/0 run'])
    assert.equal(found[0]?.key, key)
  })
})

test('a store that is written to meanwhile is of one moment', async () => {
  const store = await openLevelStore(room.path())
  let isDone = false
  const writing = (async () => {
    while (!isDone) await writeRuns(store)
  })()
  for (let count = 0; count < 5; count += 1) assert.deepEqual(await toArray(verifyStore(store)), [])
  isDone = true
  await writing
  await store.close()
})
