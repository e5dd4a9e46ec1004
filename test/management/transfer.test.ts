/** A run that is exported, and imported into another store. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { isPerdureError, type PerdureErrorCode } from 'perdure'
import { connect, type TranscriptMessage } from 'perdure/client'
import { exportRun } from '../../src/management/export.ts'
import { collectGarbage } from '../../src/management/gc.ts'
import { importRun } from '../../src/management/import.ts'
import { readTranscript } from '../../src/management/transcript.ts'
import { verifyStore } from '../../src/management/verify.ts'
import { encodeRecord } from '../../src/persistence/codec.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { deltaRange, inboxKey, stepKey } from '../../src/persistence/keys.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import { eraseRun, resumeDeletions } from '../../src/persistence/run-deletion.ts'
import { createRunLog, loadHead, openRunLog } from '../../src/persistence/run-log.ts'
import { parseStep } from '../../src/persistence/run-record.ts'
import { decodeLink } from '../../src/persistence/snapshot-chain.ts'
import type { Store } from '../../src/persistence/store.ts'
import { createClaims } from '../../src/runtime/claims.ts'
import { toMessageOperation } from '../../src/runtime/message.ts'
import { machines, openCrew, toHelper } from '../support/managed-crew.ts'
import { createManagedRoom, toArray } from '../support/managed-store.ts'

const isCode = (code: PerdureErrorCode) => (error: unknown) => isPerdureError(error, code)
const about = { now: 1_000, version: '0.0.0' }
const everything = { gte: '"', lt: '\u{10ffff}' }

const { claim } = createClaims()

async function* piecesOf(bytes: Uint8Array, size = 100): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.subarray(at, at + size)
}

const toExport = async (store: Store, run: string): Promise<Buffer> => Buffer.concat(await toArray(exportRun(store, run, about)))

async function* toRenamed(messages: AsyncIterable<TranscriptMessage>, runId: string): AsyncGenerator<TranscriptMessage> {
  for await (const message of messages) yield { ...message, runId }
}

const keysOf = async (store: Store): Promise<readonly string[]> => (await toArray(store.entries(everything))).map(([key]) => key)

describe('an exported run', () => {
  let room: Awaited<ReturnType<typeof createManagedRoom>>
  let origin: Store
  const exports = new Map<string, Buffer>()
  const runs = ['door/ajar', 'door/broken', 'door/shut', 'helper/ann', 'report/1']
  before(async () => {
    room = await createManagedRoom()
    origin = await openLevelStore(await room.copy())
    for (const run of runs) exports.set(run, await toExport(origin, run))
  })
  after(async () => {
    await origin.close()
    await room.remove()
  })
  const bytesOf = (run: string): Buffer => exports.get(run) ?? Buffer.alloc(0)

  test('says in its first line what it is, and has the runs that belong to it', async () => {
    const bytes = bytesOf('report/1')
    const header = JSON.parse(bytes.subarray(0, bytes.indexOf('\n')).toString())
    assert.deepEqual(header, { perdure: 'export', format: 1, id: 'report/1', createdAt: 1_000, version: '0.0.0' })
    const store = await openMemoryStore()
    assert.deepEqual(await importRun({ store, claim }, piecesOf(bytes)), { id: 'report/1' })
    assert.deepEqual(
      (await keysOf(store)).filter((key) => key.startsWith('h/')),
      ['h/report%2F1', 'h/report%2F1%2Fhelper'],
    )
  })

  for (const run of runs)
    for (const id of [undefined, 'another id, altogether'])
      test(`of ${run} is the same elsewhere, under ${id ?? 'its own id'}`, async () => {
        const directory = room.path('elsewhere')
        const store = await openLevelStore(directory)
        await importRun({ store, claim }, piecesOf(bytesOf(run)), { id })
        assert.deepEqual(await toArray(verifyStore(store)), [])
        await store.close()
        const rename = (text: string): string => (id === undefined ? text : text.replaceAll(`"${run}`, `"${id}`))
        const source = await room.copy()
        await using here = await connect(source, { machines })
        await using there = await connect(directory, { machines })
        const read = async (management: typeof here, of: string): Promise<string> => {
          const { waitsFor: _, wakeAt, updatedAt, ...details } = await management.run(of)
          const transcript = await toArray(management.transcript(of))
          const steps = await toArray(management.steps(of))
          const snapshot = details.kind === 'flow' ? undefined : await management.snapshot(of)
          return JSON.stringify({ details, transcript, steps, snapshot })
        }
        assert.equal(await read(there, id ?? run), rename(await read(here, run)))
      })

  test('of a machine is dormant until it is resumed', async () => {
    const directory = room.path('dormant')
    const store = await openLevelStore(directory)
    await importRun({ store, claim }, piecesOf(bytesOf('door/ajar')))
    const event = { type: 'close' }
    await store.write([
      toMessageOperation({ nextMessage: () => '0000000000000000.x' }, 'door/ajar', { from: 'door/other', sentAt: 1, event }),
    ])
    await store.close()
    const first = await openCrew(directory)
    const dormant = await toArray(first.runs())
    assert.deepEqual(
      dormant.map(({ status, wakeAt }) => [status, wakeAt]),
      [['running', undefined]],
    )
    await first.close()
    {
      await using management = await connect(directory, { machines })
      const [found] = await toArray(management.runs())
      assert.deepEqual([found?.status, found?.status === 'running' && found.waitsFor], ['running', 'resume'])
      await management.resume() // all but those that nobody asked for
      assert.equal((await management.run('door/ajar')).state, 'open')
      await management.resume('door/ajar')
      const { state } = await management.run('door/ajar')
      assert.equal(state, 'shut', 'it takes what waited for it')
    }
  })

  test('keeps its deadlines for when it is resumed', async () => {
    const directory = room.path('dormant')
    const store = await openLevelStore(directory)
    await importRun({ store, claim }, piecesOf(bytesOf('door/ajar')))
    await store.close()
    const runtime = await openCrew(directory)
    await runtime.resume('door/ajar')
    await runtime.close()
    const again = await openLevelStore(directory)
    const head = await loadHead(again, 'door/ajar')
    const original = await loadHead(origin, 'door/ajar')
    assert.deepEqual([head?.dormant, head?.wakeAt], [undefined, original?.wakeAt])
    assert.deepEqual(await toArray(verifyStore(again)), [])
    await again.close()
  })

  test('of a conversation goes on where it was, with what was answered', async () => {
    const directory = room.path('goes-on')
    const store = await openLevelStore(directory)
    await importRun({ store, claim }, piecesOf(bytesOf('helper/ann')), { id: 'helper/bob' })
    await store.close()
    const runtime = await openCrew(directory)
    const [question] = await toArray(runtime.pending())
    assert.equal(question?.runId, 'helper/bob')
    await runtime.get('helper/bob').answer(question?.id ?? '', true)
    const session = runtime.durable(toHelper()).session('bob')
    assert.equal((await session.run('note milk')).reused, true)
    const { output, turn, spend } = await session.run('deploy prod')
    assert.deepEqual([output, turn], ['Done: deployed to prod', 2])
    assert.deepEqual([spend.modelCalls, spend.toolCalls], [2, 1], 'the request that had settled is not made again')
    await runtime.close()
  })

  test('is of one moment while its owner goes on', async () => {
    const store = await openLevelStore(room.path('busy'))
    const log = createRunLog(
      { store, committer: createCommitter(store, { sync: false }), now: Date.now },
      { id: 'flow/1', kind: 'flow', name: 'flow', data: {} },
    )
    const items: unknown[] = []
    log.follow(() => ({ items: [...items] }))
    let steps = 0
    let most = 0
    let isDone = false
    const step = async (): Promise<void> => {
      steps += 1
      items.push(steps, 'x'.repeat(300))
      log.putStep(`step/${steps}`, { kind: 'step', name: `${steps}`, status: 'ok', attempt: 1, startedAt: 1, value: steps })
      await log.commit()
    }
    await step()
    const writing = (async () => {
      while (!isDone) {
        if (steps < most) await step()
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    for (let count = 0; count < 12; count += 1) {
      most = steps + 100
      const least = steps
      const bytes = await toExport(store, 'flow/1')
      const there = await openMemoryStore()
      await importRun({ store: there, claim }, piecesOf(bytes, 4_000))
      assert.deepEqual(await toArray(verifyStore(there)), [])
      const context = { store: there, committer: createCommitter(there, { sync: false }), now: Date.now }
      const imported = await openRunLog(context, 'flow/1')
      const snapshot = (await imported?.loadSnapshot()) as { readonly items: readonly unknown[] } // as it was written above
      assert.equal(snapshot.items.length, 2 * (imported?.head.steps ?? 0))
      assert.ok((imported?.head.steps ?? 0) >= least - 1 && (imported?.head.steps ?? 0) <= steps)
    }
    isDone = true
    await writing
    await store.close()
  })

  test('is held again when a commit comes between its records', async () => {
    const store = await openMemoryStore()
    const committer = createCommitter(store, { sync: true })
    const log = createRunLog({ store, committer, now: () => 1 }, { id: 'flow/1', kind: 'flow', name: 'flow', data: {} })
    let steps = 0
    const step = async (): Promise<void> => {
      steps += 1
      log.putStep(`step/${steps}`, { kind: 'step', name: `${steps}`, status: 'ok', attempt: 1, startedAt: 1, value: steps })
      await log.commit()
    }
    await step()
    let changed: Promise<void> | undefined
    const changing: Store = Object.assign(Object.create(store), {
      async *entries(range: typeof everything) {
        if (range.gte === 'r/flow%2F1/' && steps < 3) changed = step()
        await changed // what is opened before the records sees what was before
        yield* store.entries(range)
      },
    })
    const there = await openMemoryStore()
    await importRun({ store: there, claim }, piecesOf(await toExport(changing, 'flow/1')))
    assert.deepEqual([steps, (await loadHead(there, 'flow/1'))?.steps], [3, 3])
  })

  test('that is damaged is refused, as one that there is not', async () => {
    const store = await openLevelStore(await room.copy())
    await store.write([{ type: 'del', key: 'r/helper%2Fann/b' }])
    await assert.rejects(toExport(store, 'helper/ann'), isCode('RUN_CORRUPT'))
    await assert.rejects(toExport(store, 'helper/nobody'), isCode('RUN_NOT_FOUND'))
    await assert.rejects(toExport(store, ''), isCode('RUN_ID_INVALID'))
    await store.close()
  })

  test('is not imported over a run that there is, or that somebody uses', async () => {
    const bytes = bytesOf('report/1')
    const store = await openMemoryStore()
    await importRun({ store, claim }, piecesOf(bytes))
    const before = await keysOf(store)
    await assert.rejects(importRun({ store, claim }, piecesOf(bytes)), isCode('RUN_CONFLICT'))
    await importRun({ store, claim }, piecesOf(bytes), { id: 'report/2' })
    assert.equal((await keysOf(store)).length, 2 * before.length)
    const release = claim('report/3/helper')
    await assert.rejects(importRun({ store, claim }, piecesOf(bytes), { id: 'report/3' }), isCode('RUN_CONFLICT'))
    release()
    await assert.rejects(importRun({ store, claim }, piecesOf(bytes), { id: 'x'.repeat(300) }), isCode('RUN_ID_INVALID'))
    await assert.rejects(importRun({ store, claim }, piecesOf(bytes), { id: '' }), isCode('RUN_ID_INVALID'))
    assert.equal((await keysOf(store)).length, 2 * before.length)
    await importRun({ store, claim }, piecesOf(bytes), { id: 'report/3' })
  })

  test('puts the messages that wait for it below those that come', async () => {
    const here = await openLevelStore(await room.copy())
    const event = { type: 'close' }
    for (const number of ['0000000000000007.1', '0000000000000007.2'])
      await here.write([toMessageOperation({ nextMessage: () => number }, 'door/ajar', { from: number, sentAt: 1, event })])
    const there = await openMemoryStore()
    await importRun({ store: there, claim }, piecesOf(await toExport(here, 'door/ajar')))
    assert.deepEqual(
      (await keysOf(there)).filter((key) => key.startsWith('i/')),
      [0, 1].map((count) => inboxKey('door/ajar', `0000000000000000.000000000000000${count}`)),
    )
    await here.close()
  })

  test('leaves nothing if the process dies while it is imported, or the disk is full', async () => {
    const bytes = bytesOf('report/1')
    let isWhole = false
    for (let crashAt = 1; !isWhole; crashAt += 1) {
      const store = await openMemoryStore()
      let writes = 0
      const dying: Store = Object.assign(Object.create(store), {
        location: 'memory',
        get: (key: string) => store.get(key),
        entries: (range: typeof everything) => store.entries(range),
        async write(...args: Parameters<Store['write']>) {
          writes += 1
          if (writes >= crashAt) throw new Error('died')
          await store.write(...args)
        },
      })
      const imported = importRun({ store: dying, claim, batchBytes: 200 }, piecesOf(bytes))
      isWhole = await imported.then(
        () => true,
        () => false,
      )
      await resumeDeletions(store) // the next opening
      assert.equal((await keysOf(store)).length > 0, isWhole)
      if (isWhole) assert.ok(writes > 4, `${writes} batches`)
    }
  })

  test('is refused when it was cut at any byte, or changed at any, and leaves nothing', async () => {
    const bytes = bytesOf('door/shut')
    const store = await openMemoryStore()
    const refused = async (changed: Uint8Array, what: string): Promise<void> => {
      const imported = importRun({ store, claim, batchBytes: 1 }, piecesOf(changed, 300))
      await assert.rejects(imported, isCode('EXPORT_INVALID'), what)
    }
    for (let length = 0; length < bytes.length; length += 1) await refused(bytes.subarray(0, length), `${length} bytes of it`)
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8))
      await refused(changed, `byte ${at}`)
    }
    for (const more of ['\0', '\n', bytes]) await refused(Buffer.concat([bytes, Buffer.from(more)]), 'more behind it')
    assert.deepEqual(await keysOf(store), [])
    await importRun({ store, claim }, piecesOf(bytes)) // and nothing is held
  })

  test('whose snapshots name steps is the same elsewhere, and a step that is not the named one is found', async () => {
    const directory = room.path('named')
    const runtime = await openCrew(directory)
    const session = runtime.durable(toHelper()).session('long')
    for (const letter of ['a', 'b', 'c']) await session.run(`note ${letter.repeat(2_000)}`)
    await runtime.close()
    const here = await openLevelStore(directory)
    const deltas = await toArray(here.entries(deltaRange('helper/long')))
    assert.ok(
      deltas.some((entry) => decodeLink(...entry).delta.steps !== undefined),
      'there is no such snapshot',
    )
    assert.deepEqual(await toArray(verifyStore(here)), [])
    const bytes = await toExport(here, 'helper/long')
    const there = await openMemoryStore()
    for (const id of ['helper/long', 'x']) {
      await importRun({ store: there, claim }, piecesOf(bytes), { id })
      assert.deepEqual(
        await toArray(readTranscript(there, id)),
        await toArray(toRenamed(readTranscript(here, 'helper/long'), id)),
      )
    }
    assert.deepEqual(await toArray(verifyStore(there)), [])
    const [named = ''] = deltas.flatMap((entry) =>
      (decodeLink(...entry).delta.steps ?? []).map(([, step]) => stepKey('helper/long', step)),
    )
    const record = parseStep('helper/long', named, (await here.get(named)) ?? new Uint8Array())
    await here.write([{ type: 'put', key: named, value: encodeRecord(named, { ...record, startedAt: 1 }) }])
    const [found, ...others] = await toArray(verifyStore(here))
    assert.deepEqual([found?.kind, found?.run, found?.costs, others], ['snapshot', 'helper/long', 'run', []])
    assert.match(found?.what ?? '', /that it names is not the one that it named/)
    await here.close()
  })

  test('that is a fork, or has forks, has a snapshot of its own elsewhere; and what forks need is no garbage', async () => {
    const directory = room.path('forks')
    const runtime = await openCrew(directory)
    const session = runtime.durable(toHelper()).session('long')
    for (const letter of 'abcdefghijklmnop') await session.run(`note ${letter.repeat(2_000)}`)
    const fork = await session.fork({ at: { turn: 16 }, id: 'forked' })
    await fork.run(`note ${'z'.repeat(20)}`)
    for (let turn = 0; turn < 24; turn += 1) await session.run(`note ${String(turn).repeat(2_000)}`)
    await runtime.close()
    const again = await openLevelStore(directory)
    const log = await openRunLog(
      { store: again, committer: createCommitter(again, { sync: false }), now: Date.now },
      'helper/long',
    )
    const snapshot = (await log?.loadSnapshot()) as object // that of a conversation
    for (let count = 0; count < 200 && log?.head.snapshot.base === undefined; count += 1) {
      log?.follow(() => ({ ...snapshot, noise: randomBytes(8_000) }))
      await log?.commit()
    }
    log?.follow(() => snapshot)
    await log?.commit()
    assert.ok(log?.head.snapshot.base !== undefined, 'its base stands among the deltas, above what is pinned')
    await again.close()
    for (const isGone of [false, true]) {
      const here = await openLevelStore(directory)
      const pinned = (await keysOf(here)).filter((key) => key.startsWith('p/'))
      assert.ok(pinned.length > 0, 'the fork needs records of its origin')
      if (isGone) await eraseRun(here, 'helper/long')
      assert.deepEqual(await toArray(verifyStore(here)), [])
      const before = await keysOf(here)
      const { damaged, remains, indexEntries } = await collectGarbage({ store: here, claim, now: Date.now })
      assert.deepEqual([damaged, remains, indexEntries], [0, 0, 0])
      assert.deepEqual(await keysOf(here), before)
      for (const run of isGone ? ['helper/forked'] : ['helper/forked', 'helper/long']) {
        const there = await openMemoryStore()
        await importRun({ store: there, claim }, piecesOf(await toExport(here, run)), { id: 'x' })
        assert.deepEqual(await toArray(verifyStore(there)), [])
        assert.ok((await keysOf(there)).every((key) => !/^p\/|^r\/x\/k\//.test(key)))
        const toTexts = async (store: Store, id: string): Promise<readonly string[]> =>
          (await toArray(readTranscript(store, id))).map(({ message }) => JSON.stringify(message))
        assert.deepEqual(await toTexts(there, 'x'), await toTexts(here, run))
      }
      await here.close()
    }
    const damaged = await openLevelStore(directory)
    const [[key = ''] = []] = await toArray(damaged.entries(deltaRange('helper/long')))
    await damaged.write([{ type: 'del', key }])
    const found = await toArray(verifyStore(damaged))
    assert.deepEqual(
      found.map(({ kind, run, costs }) => [kind, run, costs]),
      [['snapshot', 'helper/forked', 'run']],
    )
    await damaged.close()
  })

  test('that turns out to be changed after much of it was written leaves nothing', async () => {
    const origin = await openMemoryStore()
    const context = { store: origin, committer: createCommitter(origin, { sync: false }), now: () => 1 }
    const log = createRunLog(context, { id: 'flow/1', kind: 'flow', name: 'flow', data: {} })
    for (let step = 0; step < 60; step += 1)
      log.putStep(`step/${step}`, {
        kind: 'step',
        name: `${step}`,
        status: 'ok',
        attempt: 1,
        startedAt: 1,
        value: randomBytes(20_000),
      })
    await log.commit()
    const bytes = await toExport(origin, 'flow/1')
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    const store = await openMemoryStore()
    let most = 0
    const counted: Store = Object.assign(Object.create(store), {
      location: 'memory',
      get: (key: string) => store.get(key),
      entries: (range: typeof everything) => store.entries(range),
      async write(...args: Parameters<Store['write']>) {
        await store.write(...args)
        most = Math.max(most, (await keysOf(store)).length)
      },
    })
    const imported = importRun({ store: counted, claim, batchBytes: 100_000 }, piecesOf(bytes, 10_000))
    await assert.rejects(imported, isCode('EXPORT_INVALID'))
    assert.ok(most > 30, `${most} records were there`)
    assert.deepEqual(await keysOf(store), [])
  })
})
