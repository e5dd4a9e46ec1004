/** `perdure replay` and `perdure diff`: of runs in a store, through a live owner or not, and of files without any store. */
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { connect } from 'perdure/client'
import { runDiff, runReplay } from '../../src/cli/replay.ts'
import { toWidth } from '../../src/observe/text-width.ts'
import { createManagedRoom, type Owner, startOwner, toArray } from '../support/managed-store.ts'
import { parseLines, say } from '../support/said.ts'

const moduleOf = (name: string): string => fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url))
const [app, next] = [moduleOf('managed-crew'), moduleOf('managed-crew-next')]

for (const how of ['a live owner', 'a closed store', 'files'] as const)
  describe(`through ${how},`, () => {
    let room: Awaited<ReturnType<typeof createManagedRoom>>
    let owner: Owner | undefined
    let dir: string
    const targets = new Map<string, string>()
    const target = (run: string): string => targets.get(run) ?? run
    before(async () => {
      room = await createManagedRoom()
      dir = await room.copy()
      if (how === 'a live owner') owner = await startOwner(dir)
      if (how !== 'files') return
      const store = await connect(dir)
      for (const run of ['report/1', 'report/1/helper', 'helper/ann', 'door/ajar']) {
        const file = `${room.path('run')}.perdure`
        await writeFile(file, Buffer.concat(await toArray(store.export(run))))
        targets.set(run, file)
      }
      await store[Symbol.asyncDispose]()
      dir = room.path('none')
    })
    after(async () => {
      await owner?.finish()
      await room.remove()
    })

    test('`replay` plays a flow, a conversation that waits for a person, and a machine', async () => {
      for (const run of ['report/1', 'report/1/helper', 'helper/ann', 'door/ajar']) {
        const { code, out, err } = await say(runReplay, { dir, target: target(run), app })
        assert.deepEqual([code, out, err], [0, `✔ \`${run}\` comes to the same today. Nothing was asked outside.\n`, ''])
      }
      const [said] = parseLines((await say(runReplay, { dir, target: target('report/1'), app, json: true })).out)
      const output = 'DONE: NOTED RAIN'
      assert.deepEqual(said, { id: 'report/1', identical: true, divergences: [], output, recordedOutput: output })
    })

    test('`replay` with other code says where it differs; `--live` goes on, and draws what became of it', async () => {
      const command = { dir, target: target('report/1/helper'), app: next }
      const stopped = await say(runReplay, command)
      assert.equal(stopped.code, 1)
      assert.match(
        stopped.out,
        /^✖ The replay stops: request 1 of turn 1 of run `report\/1\/helper` is asked in another way \(system/,
      )
      const door = await say(runReplay, { ...command, target: target('door/ajar') })
      assert.match(door.out, /^✖ .*: event 1 of run `door\/ajar` \(`open`\) leads to the state `"closed"` instead of `"open"`/)
      const [line] = parseLines((await say(runReplay, { ...command, json: true })).out)
      assert.equal(line?.identical, false)
      assert.match(JSON.stringify(line?.stopped), /"changed":\["system prompt"\]/)
      const live = await say(runReplay, { ...command, live: true }, { columns: 80 })
      assert.equal(live.code, 1)
      assert.match(live.out, /differs today in 1 place\.\n/)
      assert.match(live.out, /\n {2}~ turn 1 {2}system prompt/)
    })

    test('`replay` refuses an app without the flow', async () => {
      const flow = await say(runReplay, { dir, target: target('report/1'), app: next })
      assert.deepEqual([flow.code, /Expected `flows` to have the flow `report`.* got none/.test(flow.err)], [2, true])
      const none = await say(runReplay, { dir, target: target('report/1'), app: 'nowhere.ts' })
      assert.deepEqual([none.code, /nowhere\.ts cannot be loaded/.test(none.err)], [2, true])
    })

    test('`diff` compares any two, as a picture and as JSON', async () => {
      const [a, b] = [target('report/1/helper'), target('helper/ann')]
      const { code, out } = await say(runDiff, { dir, a, b }, { columns: 60 })
      assert.equal(code, 1)
      assert.match(out, /^- report\/1\/helper {2}agent helper.*\n\+ helper\/ann .*\n {2}~ turn 1 {2}prompt, result/)
      assert.ok(out.split('\n').every((line) => toWidth(line) <= 60))
      const [diff] = parseLines((await say(runDiff, { dir, a, b, json: true })).out)
      assert.equal(diff?.change, 'changed')
      assert.match(JSON.stringify(diff?.turns), /^\[\{"change":"changed",.*\{"change":"added",/)
      assert.equal((await say(runDiff, { dir, a, b: a })).code, 0)
    })

    test('what there is not is told', async () => {
      if (how === 'files') {
        const { code, err } = await say(runDiff, { dir, a: 'nowhere.perdure', b: target('report/1') })
        assert.deepEqual([code, /^perdure diff: ENOENT: .*nowhere\.perdure/.test(err)], [2, true])
        return assert.equal((await say(runDiff, { dir, a: 'report/1', b: target('report/1') })).code, 2)
      }
      const { code, err } = await say(runDiff, { dir, a: 'helper/an', b: 'report/1' })
      assert.deepEqual([code, /RUN_NOT_FOUND: .* Did you mean `helper\/ann`\?\n$/.test(err)], [1, true])
    })
  })
