import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { isPerdureError, type PerdureErrorCode } from '../../src/errors.ts'
import { headKey, rangeOf } from '../../src/persistence/keys.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import type { Store } from '../../src/persistence/store.ts'
import { type DoctorReport, type DoctorSummary, doctor } from '../../src/runtime/doctor.ts'
import { examine } from '../../src/runtime/examination.ts'
import { createMachineRegistry, type MachineEntry } from '../../src/runtime/machine-registry.ts'
import { toStructure } from '../../src/runtime/machine-structure.ts'
import { openHeldStore } from '../support/held-store.ts'
import { createMachineStore, recordRuns, release } from '../support/machine-store.ts'
import { leave } from '../support/stored-state.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

const order1 = release('order', '1', { waiting: { after: { 1000: 'late' } }, late: {} })
const order2 = release('order', '2', { paying: {}, late: {} })
const mail1 = release('mail', '1', { sent: {} })
const mail2 = release('mail', '2', { sent: {}, read: {} })
const old = release('old', '1', { on: {} })
const ended = { status: 'completed', endedAt: 1 } as const

const runs = [
  { id: 'a order', machine: order1 },
  { id: 'b mail', machine: mail1 },
  { id: 'c old', machine: old },
  { id: 'd order', machine: order2 },
  { id: 'e parked before', machine: order1, head: { status: 'incompatible' } },
  { id: 'f ended', machine: order1, head: ended },
  { id: 'g flow', machine: order1, head: { kind: 'flow' } },
] as const

async function read(store: Store, machines: readonly MachineEntry[]): Promise<DoctorReport[]> {
  const reports: DoctorReport[] = []
  for await (const report of examine(store, createMachineRegistry(machines))) reports.push(report)
  return reports
}
const verdicts = (reports: readonly DoctorReport[]): Record<string, string> =>
  Object.fromEntries(reports.map(({ runId, verdict }) => [runId, verdict]))
const failsWith =
  (code: PerdureErrorCode, words = /./) =>
  (error: unknown): boolean => {
    assert.ok(isPerdureError(error, code), String(error))
    assert.match(error.message, words)
    return true
  }

describe('an examination of the live runs of a store', () => {
  it('says of each what would become of it, and writes nothing', async () => {
    const store = await openHeldStore()
    await recordRuns(store, runs)
    const written = store.writes.length
    const version = { declared: '1', structure: toStructure(order1) }
    const missing = ['state `order.waiting`', 'timer `xstate.after.1000.order.waiting`']
    const [first, second, third, fourth, fifth, ...others] = await read(store, [order2, mail2])
    assert.deepEqual(first, { runId: 'a order', machine: 'order', version, verdict: 'park', missing })
    assert.deepEqual([second?.runId, second?.verdict], ['b mail', 'continue'])
    assert.ok(third?.verdict === 'unknown' && third.runId === 'c old')
    failsWith('MACHINE_UNKNOWN', /`c old` needs the machine `old`/)(third.error)
    assert.deepEqual([fourth?.runId, fourth?.verdict], ['d order', 'continue'])
    assert.deepEqual(fifth, { runId: 'e parked before', machine: 'order', version, verdict: 'park', missing })
    assert.deepEqual(others, [])
    assert.equal(store.writes.length, written)
  })

  it('tries migrations', async () => {
    const store = await openHeldStore()
    await recordRuns(store, runs)
    const good: MachineEntry = { machine: order2, migrate: (snapshot) => ({ ...snapshot, value: 'paying' }) }
    assert.deepEqual(verdicts(await read(store, [good, mail2, old])), {
      'a order': 'migrate',
      'b mail': 'continue',
      'c old': 'continue',
      'd order': 'continue',
      'e parked before': 'migrate',
    })
    const bad: MachineEntry = { machine: order2, migrate: (snapshot) => snapshot }
    const [unfit] = await read(store, [bad])
    assert.ok(unfit?.verdict === 'park' && unfit.error !== undefined)
    assert.deepEqual(unfit.missing, ['state `order.waiting`'])
    failsWith('MIGRATION_FAILED', /`a order`/)(unfit.error)
    const throwing: MachineEntry = { machine: order2, migrate: () => assert.fail('boom') }
    const [thrown] = await read(store, [throwing])
    assert.ok(thrown?.verdict === 'park' && thrown.error !== undefined)
    assert.deepEqual(thrown.missing, [])
  })

  it('finds the old machine beside the new one', async () => {
    const store = await openHeldStore()
    await recordRuns(store, runs)
    assert.deepEqual(new Set(Object.values(verdicts(await read(store, [order1, order2, mail2, old])))), new Set(['continue']))
  })

  it('goes on after runs that cannot be read', async () => {
    const store = await openHeldStore()
    const { actor, timers } = leave(mail1)
    // Too large to be kept in the head.
    const large = { actor: { ...actor, context: { text: 'x'.repeat(20_000) } }, timers, steps: 0 }
    await recordRuns(store, [
      { id: 'a damaged head', machine: mail1 },
      { id: 'b damaged snapshot', machine: mail1, snapshot: large },
      { id: 'c foreign head', machine: mail1, head: { data: { version: 1 } } },
      { id: 'd foreign snapshot', machine: mail1, snapshot: { actor: 5, timers: [] } },
      { id: 'e foreign actor', machine: mail1, snapshot: { actor: { status: 'active' }, timers: [null], steps: 0 } },
      { id: 'f newer', machine: mail1, snapshot: large },
      { id: 'g lost snapshot', machine: mail1, snapshot: large },
      { id: 'h well', machine: mail1 },
    ])
    const findSnapshot = async (id: string): Promise<string> => {
      for await (const [key] of store.entries(rangeOf(`r/${encodeURIComponent(id)}/`))) return key
      assert.fail(`no snapshot of ${id}`)
    }
    const change = async (key: string, index: number, by = 1): Promise<void> => {
      const bytes = (await store.get(key)) ?? assert.fail(`no ${key}`)
      await store.write([{ type: 'put', key, value: bytes.with(index, (bytes[index] ?? 0) + by) }])
    }
    await change(headKey('a damaged head'), 9)
    await change(await findSnapshot('b damaged snapshot'), 9)
    await change(await findSnapshot('f newer'), 0, 8)
    await store.write([{ type: 'del', key: await findSnapshot('g lost snapshot') }])
    const reports = await read(store, [mail2])
    assert.deepEqual(verdicts(reports), {
      'a damaged head': 'unreadable',
      'b damaged snapshot': 'unreadable',
      'c foreign head': 'unreadable',
      'd foreign snapshot': 'unreadable',
      'e foreign actor': 'park',
      'f newer': 'unreadable',
      'g lost snapshot': 'unreadable',
      'h well': 'continue',
    })
    for (const report of reports) {
      if (report.verdict !== 'unreadable') continue
      failsWith(report.runId === 'f newer' ? 'STORE_FORMAT_NEWER' : 'RUN_CORRUPT')(report.error)
      assert.equal(report.machine, report.runId === 'a damaged head' ? undefined : 'mail')
    }
  })

  it('reads no further than it is asked to', async () => {
    const store = await openHeldStore()
    await recordRuns(
      store,
      Array.from({ length: 50 }, (_, index) => ({ id: `run ${index}`, machine: mail1 })),
    )
    await read(store, [mail1])
    const all = store.readBytes
    store.readBytes = 0
    for await (const _report of examine(store, createMachineRegistry([mail1]))) break
    assert.ok(store.readBytes < all / 10, `${store.readBytes} of ${all}`)
  })
})

describe('the doctor', () => {
  it('counts, tells of each run in turn, and lets go of the store', async () => {
    const directory = room.path()
    await createMachineStore(directory, runs)
    const machines = [order2, mail2]
    const heard: string[] = []
    const onRun = async ({ runId }: DoctorReport): Promise<void> => {
      heard.push(`${runId} begins`)
      await undefined
      heard.push(`${runId} ends`)
    }
    const summary: DoctorSummary = await doctor({ directory, machines, onRun })
    assert.deepEqual(summary, { total: 5, continue: 2, migrate: 0, park: 2, unknown: 1, unreadable: 0 })
    const ids = ['a order', 'b mail', 'c old', 'd order', 'e parked before']
    assert.deepEqual(
      heard,
      ids.flatMap((id) => [`${id} begins`, `${id} ends`]),
    )
    assert.deepEqual(await doctor({ directory, machines }), summary)
  })

  it('lets go of the store when its listener throws, and when it is aborted', async () => {
    const directory = room.path()
    await createMachineStore(directory, runs)
    const boom = (): never => assert.fail('boom')
    await assert.rejects(doctor({ directory, machines: [order2], onRun: boom }), /boom/)
    const controller = new AbortController()
    let count = 0
    const onRun = (): void => {
      count++
      controller.abort()
    }
    await assert.rejects(
      doctor({ directory, machines: [order2], onRun, signal: controller.signal }),
      failsWith('ABORTED', /Nothing was changed/),
    )
    assert.equal(count, 1)
    await (await openLevelStore(directory)).close()
  })

  it('makes no store where there is none', async () => {
    const nowhere = join(room.path('missing'), 'deep')
    await assert.rejects(doctor({ directory: nowhere, machines: [] }), failsWith('STORE_PATH_INVALID', /There is no store at/))
    await assert.rejects(readdir(nowhere), { code: 'ENOENT' })
    const empty = room.path('empty')
    await mkdir(empty)
    await assert.rejects(doctor({ directory: empty, machines: [] }), failsWith('STORE_PATH_INVALID', /There is no store at/))
    assert.deepEqual(await readdir(empty), [])
    const unfinished = room.path('unfinished')
    await mkdir(unfinished)
    await writeFile(join(unfinished, 'CREATING'), '') // its process died while it made a store
    await assert.rejects(doctor({ directory: unfinished, machines: [] }), failsWith('STORE_PATH_INVALID', /There is no store at/))
    assert.deepEqual(await readdir(unfinished), ['CREATING'])
    const file = room.path('file')
    await writeFile(file, 'x')
    await assert.rejects(doctor({ directory: file, machines: [] }), failsWith('STORE_PATH_INVALID'))
    await writeFile(join(empty, 'x'), 'x')
    await assert.rejects(doctor({ directory: empty, machines: [] }), failsWith('STORE_PATH_INVALID', /holds files/))
  })

  it('does not open a store that somebody has open', async () => {
    const directory = room.path()
    await using _store = await openLevelStore(directory)
    await assert.rejects(doctor({ directory, machines: [] }), failsWith('STORE_LOCKED'))
  })

  it('refuses wrong arguments before it opens anything', async () => {
    const directory = room.path()
    await createMachineStore(directory, [])
    await assert.rejects(doctor({ directory, machines: [mail1, mail1] }), failsWith('MACHINE_DUPLICATE'))
    for (const [options, message] of [
      [{ directory: '', machines: [] }, /`directory`/],
      [{ directory, machines: 5 }, /`machines`/],
      [{ directory, machines: [], onRun: 5 }, /`onRun` to be a function, got `5`/],
    ] as const)
      await assert.rejects(
        doctor(options as unknown as Parameters<typeof doctor>[0]),
        (error) => error instanceof TypeError && message.test(error.message),
      )
  })
})
