/** Encryption and deaths: keys that change in the middle of a run, wrong keys, keys of runs that are gone. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPerdureError, openRuntime } from 'perdure'
import { connect } from 'perdure/client'
import { exploreCrashes } from 'perdure/testing'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { runMain } from '../support/cli-program.ts'
import { subject } from '../support/encryption-subject.ts'
import { rejectsWith } from '../support/machine-room.ts'
import { startProgram, toArray } from '../support/managed-store.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

const keyOf = (name: string): Uint8Array => createHash('sha256').update(name).digest()
const toText = (name: string): string => Buffer.from(keyOf(name)).toString('base64')
const program = fileURLToPath(new URL('../support/encryption-app.ts', import.meta.url))

/** All records, as they are on the disk. */
async function readRaw(directory: string): Promise<readonly string[]> {
  const store = await openLevelStore(directory)
  const entries = await toArray(store.entries({ gte: '', lt: '\u{10ffff}' }))
  await store.close()
  return entries.map(([key, value]) => `${key} ${Buffer.from(value).toString('hex')}`)
}

/** A store with the ended runs `parts/1` and `parts/2`, and their key. */
async function createStore(): Promise<{ readonly directory: string; readonly encryption: { readonly key: Uint8Array } }> {
  const directory = room.path('store')
  const encryption = { key: keyOf('own') }
  const runtime = await openRuntime({ directory, log: 'silent', encryption })
  const flow = runtime.flow('parts', async (text: string, { step }) => step('one', () => `CANARY ${text}`))
  for (const id of ['parts/1', 'parts/2']) await flow.run(id, { id })
  await runtime.close()
  return { directory, encryption }
}

test('a run goes on over deaths while its key is changed, and what had settled is not done again', async () => {
  const directory = room.path('rotated')
  const effects = room.path('effects')
  const live = (keys: readonly string[], until?: number) =>
    startProgram(program, directory, JSON.stringify({ keys: keys.map(toText), effects, until }))
  for (const [keys, until] of [
    [['a'], 2],
    [['b', 'a'], 3],
    [['b', 'a'], 4], // the ring may stay as long as one likes
    [['c', 'b', 'a'], 5], // and may be longer than it has to be
  ] as const)
    await (await live(keys, until)).kill()
  await (await live(['c'])).finish()
  assert.equal(await readFile(effects, 'utf8'), '1\n2\n3\n4\n5\n6\n')

  for (const old of ['a', 'b'])
    await rejectsWith(openRuntime({ directory, log: 'silent', encryption: { key: keyOf(old) } }), 'ENCRYPTION_KEY_WRONG')
  const store = await connect(directory, { encryption: { key: keyOf('c') } })
  const { status, output } = await store.run('parts/1')
  assert.deepEqual([status, output], ['completed', [1, 2, 3, 4, 5, 6].map((n) => `CANARY ${n}`)])
  assert.deepEqual(await toArray(store.verify()), [])
  await store[Symbol.asyncDispose]()
  for (const name of await readdir(directory)) {
    const content = await readFile(join(directory, name)).catch(() => Buffer.alloc(0)) // a folder
    for (const word of ['CANARY', ...['a', 'b', 'c'].map((name) => Buffer.from(keyOf(name)))])
      assert.equal(content.includes(word), false, name)
  }
})

test('a wrong key and a missing one are told, and no record changes', async () => {
  const { directory, encryption } = await createStore()
  const before = await readRaw(directory)
  const wrong = { key: keyOf('wrong'), previousKeys: [keyOf('old')] }
  await rejectsWith(openRuntime({ directory, log: 'silent', encryption: wrong }), 'ENCRYPTION_KEY_WRONG')
  await rejectsWith(openRuntime({ directory, log: 'silent' }), 'ENCRYPTION_KEY_REQUIRED')
  await rejectsWith(connect(directory, { encryption: wrong }), 'ENCRYPTION_KEY_WRONG')
  await rejectsWith(connect(directory), 'ENCRYPTION_KEY_REQUIRED')
  const [none, other, none16] = [
    await runMain(['ls', '--dir', directory]),
    await runMain(['gc', '--dir', directory], { PERDURE_KEY: toText('wrong') }),
    await runMain(['gc', '--dir', directory], { PERDURE_KEY: 'too short' }),
  ]
  assert.match(none.err, /^perdure ls: ENCRYPTION_KEY_REQUIRED: .*PERDURE_KEY/)
  assert.match(other.err, /^perdure gc: ENCRYPTION_KEY_WRONG: /)
  assert.match(none16.err, /^perdure gc: Expected a key of the store to be a Uint8Array of 32 bytes, got \d+ bytes\n$/)
  assert.deepEqual(
    [none, other, none16].map(({ code }) => code),
    [2, 2, 2],
  )
  assert.deepEqual(await readRaw(directory), before)

  const runtime = await openRuntime({ directory, log: 'silent', encryption })
  assert.equal((await runMain(['show', 'parts/1', '--dir', directory])).code, 0, 'its owner has the key')
  await runtime.close()
  const changed = { PERDURE_KEY: toText('next'), PERDURE_PREVIOUS_KEY: toText('own') }
  assert.equal((await runMain(['verify', '--dir', directory], changed)).out, 'The store is sound.\n')
  await rejectsWith(connect(directory, { encryption }), 'ENCRYPTION_KEY_WRONG')
})

describe('the key of a run that is deleted', () => {
  test('goes with it: what a backup brings back cannot be read', async () => {
    const { directory, encryption } = await createStore()
    const raw = await openLevelStore(directory)
    const isOf = ([key]: readonly [string, Uint8Array]): boolean => /^[hr]\/parts%2F1(\/|$)/.test(key)
    const backup = (await toArray(raw.entries({ gte: '', lt: '\u{10ffff}' }))).filter(isOf)
    await raw.close()
    assert.ok(backup.length > 2)
    const runtime = await openRuntime({ directory, log: 'silent', encryption })
    assert.equal(await runtime.delete('parts/1'), true)
    await runtime.close()
    const again = await openLevelStore(directory)
    await again.write(backup.map(([key, value]) => ({ type: 'put', key, value })))
    await again.close()
    const store = await connect(directory, { encryption })
    await assert.rejects(store.run('parts/1'), (error) => isPerdureError(error, 'RUN_CORRUPT'))
    assert.equal((await store.run('parts/2')).output, 'CANARY parts/2')
    await store[Symbol.asyncDispose]()
  })

  test('that a death left behind is named by `verify`, and removed by `gc`', async () => {
    const { directory, encryption } = await createStore()
    const raw = await openLevelStore(directory)
    const left = await raw.get('k/parts%2F1')
    await raw.close()
    assert.ok(left)
    const runtime = await openRuntime({ directory, log: 'silent', encryption })
    await runtime.delete('parts/1')
    await runtime.close()
    const again = await openLevelStore(directory)
    assert.equal(await again.get('k/parts%2F1'), undefined)
    await again.write([{ type: 'put', key: 'k/parts%2F1', value: left }]) // as if it had died before
    await again.close()
    const store = await connect(directory, { encryption })
    const findings = (await toArray(store.verify())).map(({ kind, run, costs, isRemovable }) => [kind, run, costs, isRemovable])
    assert.deepEqual(findings, [['orphan', 'parts/1', 'nothing', true]])
    assert.equal((await store.gc()).remains, 1)
    assert.deepEqual(await toArray(store.verify()), [])
    assert.equal((await store.run('parts/2')).status, 'completed')
    await store[Symbol.asyncDispose]()
    assert.equal(
      (await readRaw(directory)).some((entry) => entry.startsWith('k/parts%2F1 ')),
      false,
    )
  })
})

test('no death at any write breaks a run whose key changes in each life', async () => {
  const report = await exploreCrashes(subject, { name: 'rotating', pairs: 30 })
  assert.ok(report.scenarios > 30)
})

test('nor does a process that is killed', async () => {
  const module = new URL('../support/encryption-subject.ts', import.meta.url)
  for (const schedule of ['4+ 3-', '6- 4+']) await exploreCrashes(module, { process: true, schedule })
})
