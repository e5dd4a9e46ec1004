/** The walk at the beginning of docs/operate.md, as the program: on the store of an app that runs, and of one that was killed. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runMain } from '../support/cli-program.ts'
import { createManagedRoom, type Owner, startOwner } from '../support/managed-store.ts'

const moduleOf = (name: string): string => fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url))
const [app, next] = [moduleOf('managed-crew'), moduleOf('managed-crew-next')]

for (const how of ['runs', 'was killed'] as const)
  describe(`woken at night, on the store of an app that ${how},`, () => {
    let room: Awaited<ReturnType<typeof createManagedRoom>>
    let owner: Owner
    let dir: string
    before(async () => {
      room = await createManagedRoom()
      dir = room.path('app')
      owner = await startOwner(dir, 'run')
      if (how === 'was killed') await owner.kill()
    })
    after(async () => {
      if (how === 'runs') await owner.finish()
      await room.remove()
    })
    /** What a command prints that ends with this code. */
    const perdure = async (code: number, ...args: readonly string[]): Promise<string> => {
      const ended = await runMain(args, { PERDURE_DIR: dir })
      assert.deepEqual([ended.code, ended.err], [code, ''], ended.out)
      return ended.out
    }

    test('one finds out what runs and what waits, answers it, and that the store is sound', async () => {
      const state = how === 'runs' ? /^Process \d+ has it open, for / : /^No process has it open: nothing goes on\n/
      assert.match(await perdure(0, 'stats'), state)
      assert.match(await perdure(0, 'ls'), /^helper\/ann +waiting .* approval of deploy$/m)
      assert.match(await perdure(0, 'show', 'helper/ann'), /waits: approval {2}May the tool `deploy` be called\?/)
      assert.match(await perdure(0, 'pending'), /^ {2}perdure approve helper\/ann$/m)
      assert.match(await perdure(0, 'deny', 'helper/ann', '--reason', 'Not at night.'), /^Answered approval deploy/)
      assert.equal(await perdure(0, 'pending'), 'Nothing waits for a person.\n')
      assert.equal(await perdure(0, 'verify'), 'The store is sound.\n')
    })

    for (const { run, kind, child } of [
      { run: 'report/1', kind: 'flow', child: 'bug/1/helper' },
      { run: 'report/1/helper', kind: 'conversation', child: undefined },
    ])
      test(`one takes a ${kind} home as a file, and replays it without a key and without the app’s store`, async () => {
        const file = `${room.path('bug')}.perdure`
        const lab = room.path('lab')
        const atHome = ['--dir', lab]
        await perdure(0, 'export', run, '-o', file)
        assert.match(await perdure(0, 'replay', file, '--app', app), /comes to the same today\. Nothing was asked outside/)
        await perdure(0, 'import', file, '--id', 'bug/1', '--create', ...atHome)
        assert.match(await perdure(0, 'replay', 'bug/1', '--app', app, ...atHome), /comes to the same today/)
        if (child === undefined)
          assert.match(await perdure(1, 'replay', 'bug/1', '--app', next, ...atHome), /is asked in another way \(system/)
        const [conversation, fork] = [child ?? 'bug/1', 'helper/better']
        const said = await perdure(0, 'fork', conversation, '--at', '1', '--system-prompt', 'Be quick.', '--id', fork, ...atHome)
        assert.match(said, /^helper\/better goes on when the app runs it/)
        assert.match(await perdure(0, 'show', fork, ...atHome), /from turn 1 on a fork of bug\/1/)
        assert.equal(await perdure(0, 'verify', ...atHome), 'The store is sound.\n')
      })

    test('one takes a machine home as a file, and replays it with what it was sent', async () => {
      const file = `${room.path('bug')}.perdure`
      const atHome = ['--dir', room.path('lab')]
      await perdure(0, 'export', 'door/ajar', '-o', file)
      await perdure(0, 'import', file, '--id', 'bug/2', '--create', ...atHome)
      assert.match(await perdure(0, 'replay', 'bug/2', '--app', app, ...atHome), /comes to the same today/)
      const said = await perdure(1, 'replay', file, '--app', next)
      assert.match(said, /event 1 of run `door\/ajar` \(`open`\) leads to the state `"closed"` instead of `"open"`/)
      assert.equal(await perdure(0, 'verify', ...atHome), 'The store is sound.\n')
    })
  })
