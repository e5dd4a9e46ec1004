/** The commands that look after a store as a whole, each through a live owner and on a store that nobody has open. */
import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runGc } from '../../src/cli/gc.ts'
import { runLs } from '../../src/cli/ls.ts'
import { runShow } from '../../src/cli/show.ts'
import { runStats } from '../../src/cli/stats.ts'
import { runExport, runImport } from '../../src/cli/transfer.ts'
import { runVerify } from '../../src/cli/verify.ts'
import { createManagedRoom, damage, type Owner, startOwner } from '../support/managed-store.ts'
import { parseLines, say } from '../support/said.ts'

const app = fileURLToPath(new URL('../support/managed-crew.ts', import.meta.url))

let room: Awaited<ReturnType<typeof createManagedRoom>>
before(async () => {
  room = await createManagedRoom()
})
after(() => room.remove())

for (const how of ['a live owner', 'a closed store'] as const)
  describe(`through ${how},`, () => {
    const owners: Owner[] = []
    const own = async (dir: string): Promise<string> => {
      if (how === 'a live owner') owners.push(await startOwner(dir))
      return dir
    }
    let store: { readonly dir: string; readonly app: string }
    before(async () => {
      store = { dir: await own(await room.copy()), app }
    })
    after(async () => {
      for (const owner of owners) await owner.finish()
    })

    test('`verify` says that a store is sound', async () => {
      assert.deepEqual(await say(runVerify, store), { code: 0, out: 'The store is sound.\n', err: '' })
      assert.deepEqual(await say(runVerify, { ...store, json: true }), { code: 0, out: '', err: '' })
    })

    test('`verify` says what is damaged and what that costs, and ends with 1', async () => {
      const dir = await own(await damage(await room.copy()))
      const { code, out } = await say(runVerify, { dir })
      assert.equal(code, 1)
      assert.equal(
        out,
        [
          '✖ report/1: The record `r/report%2F1/s/step/print` does not match its checksum.',
          '  The run cannot go on: delete it, or restore the store from a backup.',
          '  nobody: The index of questions names `x`, which is not open.',
          '  No run misses it. `perdure gc` removes it.',
          'The store is damaged: 1 run cannot go on.',
          '',
        ].join('\n'),
      )
      const { code: again, out: lines } = await say(runVerify, { dir, json: true })
      assert.equal(again, 1)
      assert.deepEqual(
        parseLines(lines).map(({ kind, run, costs, isRemovable }) => [kind, run, costs, isRemovable]),
        [
          ['step', 'report/1', 'run', false],
          ['indexStale', 'nobody', 'nothing', true],
        ],
      )
      const collected = await say(runGc, { dir })
      assert.equal(collected.code, 1)
      assert.match(collected.out, /^Removed nothing\. \S+ [KM]B on disk before, \S+ [KM]B now\.\n$/)
      assert.match(collected.err, /See `perdure verify`\.\n$/)
      const exported = await say(runExport, { dir, run: 'report/1', output: room.path('export') })
      assert.deepEqual([exported.code, exported.err.split(':')[1]], [1, ' RUN_CORRUPT'])
    })

    test('`stats` says who has the store open, and counts', async () => {
      const { code, out } = await say(runStats, store)
      assert.equal(code, 0)
      const [first = '', ...lines] = out.split('\n')
      assert.match(first, how === 'a live owner' ? /^Process \d+ has it open, for / : /^No process has it open: nothing goes on$/)
      assert.equal(lines[0], '6 runs: 2 running, 3 completed, 1 failed')
      assert.equal(lines[1], '  3 machine, 1 flow, 2 agent')
      assert.equal(lines[2], '1 question for a person')
      assert.match(lines[3] ?? '', /^5 model calls · 2 tool calls · .*cost unknown$/)
      assert.match(lines[4] ?? '', /^\d+\.\d KB on disk$/)
      assert.match(out, /^heads +6 +\d/m)
      const [stats] = parseLines((await say(runStats, { ...store, json: true })).out)
      assert.deepEqual([stats?.runs, stats?.byKind], [6, { machine: 3, flow: 1, agent: 2 }])
    })

    test('`export` writes a file that only its user reads, and `import` takes it elsewhere', async () => {
      const file = join(room.path('files'), 'run.perdure')
      await mkdir(join(file, '..'))
      const { code, out } = await say(runExport, { ...store, run: 'report/1', output: file })
      assert.equal(code, 0)
      assert.match(out, /^Exported report\/1 to \S+run\.perdure, \d\.\d KB\. It holds what the run was told and answered\.\n$/)
      assert.equal((await stat(file)).mode & 0o777, 0o600)
      const elsewhere = { dir: room.path('elsewhere') }
      const missing = await say(runImport, { ...elsewhere, file })
      assert.deepEqual([missing.code, missing.err.split(':')[1]], [2, ' STORE_PATH_INVALID'])
      const imported = await say(runImport, { ...elsewhere, file, create: true })
      assert.deepEqual(imported, { code: 0, out: 'Imported report/1: flow report, completed.\n', err: '' })
      const show = async (dir: string): Promise<unknown> =>
        parseLines((await say(runShow, { dir, run: 'report/1', json: true })).out)
      assert.deepEqual(await show(elsewhere.dir), await show(store.dir))
      const again = await say(runImport, { ...elsewhere, file, json: true })
      assert.deepEqual([again.code, again.err.split(':')[1]], [1, ' RUN_CONFLICT'])
      const [copy] = parseLines((await say(runImport, { ...elsewhere, file, id: 'copy', json: true })).out)
      assert.deepEqual(copy, { id: 'copy', kind: 'flow', name: 'report', status: 'completed' })
    })

    test('`import` leaves the run of a machine alone, and says how it goes on', async () => {
      const file = room.path('ajar.perdure')
      await say(runExport, { ...store, run: 'door/ajar', output: file })
      const { out } = await say(runImport, { ...store, file, id: 'door/copy' })
      assert.equal(
        out,
        'Imported door/copy: machine door, waiting in open.\nNothing of it goes on by itself. `perdure resume door/copy --app …` lets it.\n',
      )
      assert.match((await say(runLs, { ...store, limit: 9 })).out, /^door\/copy +waiting +open .*resume$/m)
    })

    test('`export` leaves no file behind that is none, and `import` refuses one', async () => {
      const folder = room.path('files')
      await mkdir(folder)
      const none = await say(runExport, { ...store, run: 'report/2', output: join(folder, 'x') })
      assert.equal(none.code, 1)
      assert.match(none.err, /^perdure export: RUN_NOT_FOUND: .* Did you mean `report\/1`\?\n$/)
      assert.deepEqual(await readdir(folder), [])
      await say(runExport, { ...store, run: 'report/1', output: join(folder, 'whole') })
      await writeFile(join(folder, 'half'), (await readFile(join(folder, 'whole'))).subarray(0, 300))
      const half = await say(runImport, { ...store, file: join(folder, 'half'), id: 'half' })
      assert.deepEqual([half.code, half.err.split(':')[1]], [1, ' EXPORT_INVALID'])
      const gone = await say(runImport, { ...store, file: join(folder, 'gone') })
      assert.deepEqual([gone.code, gone.err.includes('ENOENT')], [2, true])
      assert.equal((await say(runShow, { ...store, run: 'half' })).code, 1)
    })

    test('`gc` removes what it is told to', async () => {
      const { code, out } = await say(runGc, { ...store, keep: 1, olderThan: 1e12 })
      assert.equal(code, 0)
      assert.match(out, /^Removed 2 ended runs\. /)
      const [collected] = parseLines((await say(runGc, { ...store, json: true })).out)
      assert.deepEqual([collected?.runs, collected?.damaged], [0, 0])
    })
  })

test('an export into a folder that cannot be written is told', async () => {
  const dir = await room.copy()
  const { code, err } = await say(runExport, { dir, run: 'report/1', output: join(room.path('none'), 'x') })
  assert.deepEqual([code, err.includes('ENOENT')], [2, true])
})
