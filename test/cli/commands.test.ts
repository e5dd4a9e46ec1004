/** The commands on a store, each through a live owner and on a store that nobody has open. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runAnswer, runApprove, runDeny } from '../../src/cli/answer.ts'
import { runCancel, runDelete, runResume, runSend, runSettle } from '../../src/cli/change.ts'
import { runFork } from '../../src/cli/fork.ts'
import { runLogs } from '../../src/cli/logs.ts'
import { runLs } from '../../src/cli/ls.ts'
import { runPending } from '../../src/cli/pending.ts'
import { runIds } from '../../src/cli/run-ids.ts'
import { runShow } from '../../src/cli/show.ts'
import { runTranscript } from '../../src/cli/transcript.ts'
import { toWidth } from '../../src/observe/text-width.ts'
import { createManagedRoom, type Owner, startOwner } from '../support/managed-store.ts'
import { parseLines, say } from '../support/said.ts'

const app = fileURLToPath(new URL('../support/managed-crew.ts', import.meta.url))

for (const how of ['a live owner', 'a closed store'] as const)
  describe(`through ${how},`, () => {
    let room: Awaited<ReturnType<typeof createManagedRoom>>
    let owner: Owner | undefined
    let store: { readonly dir: string; readonly app: string }
    before(async () => {
      room = await createManagedRoom()
      store = { dir: await room.copy(), app }
      if (how === 'a live owner') owner = await startOwner(store.dir)
    })
    after(async () => {
      await owner?.finish()
      await room.remove()
    })

    test('`ls` lists the runs that belong to no other, `--all` all, `--json` an object a line', async () => {
      const { code, out } = await say(runLs, { ...store, limit: 100 })
      assert.equal(code, 0)
      const rows = out
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/ {2,}.*/, ''))
      assert.deepEqual(rows, ['RUN', 'door/ajar', 'door/broken', 'door/shut', 'helper/ann', 'report/1'])
      assert.match(out, /helper\/ann +waiting .* cost unknown +approval of deploy$/m)
      assert.match(out, /door\/broken +failed +open .*The hinge broke$/m)
      const all = parseLines((await say(runLs, { ...store, limit: 100, all: true, json: true })).out)
      assert.deepEqual(
        all.map(({ id }) => id),
        ['door/ajar', 'door/broken', 'door/shut', 'helper/ann', 'report/1', 'report/1/helper'],
      )
    })

    test('`ls` fits the terminal, and says where the next page begins', async () => {
      const { out } = await say(runLs, { ...store, limit: 2 }, { columns: 70 })
      const lines = out.trimEnd().split('\n')
      assert.ok(lines.slice(0, -1).every((line) => toWidth(line) <= 70))
      assert.equal(lines.at(-1), 'The first 2. More: --after "door/broken"')
      assert.equal((await say(runLs, { ...store, limit: 9, status: 'cancelled' })).out, 'No runs.\n')
      const { out: filtered } = await say(runLs, { ...store, limit: 9, pending: true, json: true, sinceMs: 3_600_000 })
      assert.deepEqual(
        parseLines(filtered).map(({ id }) => id),
        ['helper/ann'],
      )
    })

    test('`ls --watch` goes on until Ctrl-C', async () => {
      const interrupted = new AbortController()
      const watched = say(runLs, { ...store, limit: 9, watch: true }, { columns: 100, signal: interrupted.signal })
      setTimeout(() => interrupted.abort(), 300)
      const { code, out } = await watched
      assert.equal(code, 130)
      assert.ok(out.startsWith('\u001b[H\u001b[2JRUN'))
    })

    test('`show` draws the calls of a run, with those of the runs that belong to it', async () => {
      const { out } = await say(runShow, { ...store, run: 'report/1' })
      const lines = out
        .trimEnd()
        .split('\n')
        .map((line) => line.replace(/^( *\S \S+ \S+).*/, '$1'))
      assert.deepEqual(lines, [
        '✔ report/1 completed',
        '    input  rain',
        '    output  DONE: NOTED RAIN',
        '  ● step print',
        '  ✔ report/1/helper completed',
        '    ● turn 1',
        '      ● model test-model',
        '        ● tool note',
        '      ● model test-model',
      ])
      assert.equal(out.match(/cost unknown/g)?.length, 1)
      assert.match(out, /tool note ok {2}.* ms · paid · \{"text":"rain"\} · → noted rain/)
      const narrow = await say(runShow, { ...store, run: 'helper/ann' }, { columns: 60 })
      assert.ok(
        narrow.out
          .trimEnd()
          .split('\n')
          .every((line) => toWidth(line) <= 60),
      )
      assert.deepEqual(
        parseLines((await say(runShow, { ...store, run: 'report/1', json: true })).out).map(({ id }) => id),
        ['report/1', 'report/1/helper'],
      )
    })

    test('`logs` tells what was written', async () => {
      const { out } = await say(runLogs, { ...store, run: 'report/1' })
      assert.match(out, /^› report\/1\/helper call\/000001\.1\/m002\nDone: noted rain$/m)
      const chunks = parseLines((await say(runLogs, { ...store, run: 'report/1', json: true })).out)
      assert.ok(chunks.every(({ offset }) => typeof offset === 'string'))
    })

    test('`logs --follow` waits for more until Ctrl-C', async () => {
      const interrupted = new AbortController()
      const followed = say(runLogs, { ...store, run: 'helper/ann', follow: true }, { signal: interrupted.signal })
      setTimeout(() => interrupted.abort(), 300)
      assert.equal((await followed).code, 130)
    })

    test('`transcript` prints the messages', async () => {
      const { out } = await say(runTranscript, { ...store, run: 'report/1/helper' })
      assert.equal(
        out,
        'user  turn 1\nnote rain\n\nassistant  turn 1\n→ note {"text":"rain"}\n\ntool note  turn 1\nnoted rain\n\nassistant  turn 1\nDone: noted rain\n\n',
      )
      assert.equal(parseLines((await say(runTranscript, { ...store, run: 'report/1', json: true })).out).length, 4)
    })

    test('`pending` tells what waits, and how to answer it', async () => {
      const { out } = await say(runPending, store)
      assert.match(
        out,
        /^approval deploy {2}helper\/ann, .* ago\n {2}.*deploy.*\n {2}deploy \{"to":"prod"\}\n {2}id call.*\n {2}perdure approve helper\/ann\n$/,
      )
      assert.equal(parseLines((await say(runPending, { ...store, run: 'helper/ann', json: true })).out).length, 1)
      assert.equal((await say(runPending, { ...store, run: 'door/ajar' })).out, 'Nothing waits for a person.\n')
    })

    test('`run-ids` lists ids for a shell', async () => {
      assert.deepEqual((await say(runIds, store)).out.split('\n').slice(0, 2), ['door/ajar', 'door/broken'])
    })

    test('a run id that is wrong is answered with one that is near', async () => {
      const { code, err } = await say(runShow, { ...store, run: 'helper/an' })
      assert.equal(code, 1)
      assert.match(err, /^perdure show: RUN_NOT_FOUND: .* Did you mean `helper\/ann`\?\n$/)
      assert.match(
        (await say(runCancel, { ...store, run: 'door/x' })).err,
        /Did you mean `door\/ajar` or `door\/broken` or `door\/shut`\?/,
      )
    })

    test('`send` sends an event, once by its id, and says where that led', async () => {
      const command = { ...store, run: 'door/ajar', event: 'close', id: 'e1' }
      const first = await say(runSend, command)
      assert.deepEqual([first.code, first.out], [0, 'door/ajar completed in shut\n'])
      assert.equal((await say(runSend, command)).code, 0)
      const again = await say(runSend, { ...store, run: 'door/ajar', event: '{"type":"close"}', data: '{"now":true}' })
      assert.deepEqual([again.code, again.err.split(':')[1]], [1, ' RUN_ENDED'])
      assert.equal((await say(runSend, { ...store, run: 'door/ajar', event: '{"kind":1}' })).code, 2)
    })

    test('`answer`, `approve` and `deny` answer what waits, once', async () => {
      const run = 'helper/ann'
      assert.match((await say(runAnswer, { ...store, run, value: '7' })).err, /ANSWER_INVALID.* The answer has to fit \{/)
      assert.equal((await say(runApprove, { ...store, run, arguments: 'no json' })).code, 2)
      const { code, out } = await say(runDeny, { ...store, run, reason: 'Not today.' })
      assert.equal(code, 0)
      assert.match(out, /^Answered approval deploy of helper\/ann\./)
      const late = await say(runApprove, { ...store, run })
      assert.deepEqual([late.code, late.err], [1, 'No approval of `helper/ann` waits for a person.\n'])
      assert.equal((await say(runApprove, { ...store, run: 'nobody' })).code, 1)
    })

    test('`fork` begins a new conversation', async () => {
      const run = 'helper/ann'
      const { code, out } = await say(runFork, {
        ...store,
        run,
        at: '2',
        prompt: 'Bob',
        settings: '{"temperature":0}',
        id: 'helper/bob',
      })
      assert.deepEqual([code, out], [0, 'helper/bob goes on when the app runs it: `session("bob").resume()` of helper.\n'])
      assert.match(
        (await say(runShow, { ...store, run: 'helper/bob' })).out,
        /from turn 2 on a fork of helper\/ann.*turn 2 .*“Bob”/s,
      )
      const [made] = parseLines((await say(runFork, { ...store, run, after: '1', json: true })).out)
      assert.match(String(made?.id), /^helper\/ann~[0-9a-f]{8}$/)
      const [denied] = parseLines((await say(runFork, { ...store, run, at: '1/m1/call_1_0', result: '{"a":1}', json: true })).out)
      assert.match(String(denied?.id), /^helper\/ann~/)
      assert.match(
        (await say(runFork, { ...store, run, at: '1/m9' })).err,
        /^perdure fork: FORK_IMPOSSIBLE: .*`m9` of turn 1 is no call/,
      )
      for (const wrong of [
        {},
        { at: 'x' },
        { at: '1', after: '1' },
        { after: '1/m1' },
        { at: '1', settings: '{' },
        { at: '1', settings: '{"tools":1}' },
      ])
        assert.equal((await say(runFork, { ...store, run, ...wrong })).code, 2, JSON.stringify(wrong))
      for (const id of ['helper/bob', made?.id, denied?.id]) await say(runDelete, { ...store, run: String(id), yes: true })
    })

    test('`resume`, `settle`, `cancel` and `delete` do what they say', async () => {
      assert.match((await say(runResume, store)).out, /^0 live runs of machines\.\n$/)
      assert.match((await say(runResume, { ...store, run: 'report/1' })).err, /RUN_CONFLICT/)
      assert.match((await say(runSettle, { ...store, run: 'report/1', step: 'step/none', result: '1' })).err, /STEP_UNKNOWN/)
      assert.equal((await say(runSettle, { ...store, run: 'report/1', step: 'step/none' })).code, 2)
      assert.equal((await say(runCancel, { ...store, run: 'helper/ann', reason: 'Enough.' })).out, 'helper/ann cancelled\n')
      const refused = await say(runDelete, { ...store, run: 'report/1' })
      assert.deepEqual([refused.code, refused.out], [2, ''])
      assert.match(refused.err, /with 1 run that belong/)
      assert.equal((await say(runDelete, { ...store, run: 'report/1', yes: true })).out, 'Deleted report/1.\n')
      assert.equal((await say(runShow, { ...store, run: 'report/1/helper' })).code, 1)
    })
  })

test('a store that there is not is told, and not created', async () => {
  const { code, err } = await say(runLs, { dir: '/nowhere/at/all', limit: 1 })
  assert.equal(code, 2)
  assert.match(err, /^perdure ls: STORE_PATH_INVALID: There is no store at/)
})
