/** Every method of a management, through the process that has the store open and on a store that nobody has open. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isPerdureError, openMemoryStore, openRuntime } from 'perdure'
import { type Connection, connect, type Management, type RunSummary } from 'perdure/client'
import { createManagement } from '../../src/management/local.ts'
import { methods } from '../../src/management/methods.ts'
import { machines } from '../support/managed-crew.ts'
import { createManagedRoom, type Owner, startOwner, toArray } from '../support/managed-store.ts'

for (const how of ['a live owner', 'a closed store'] as const)
  describe(`a management of ${how}`, () => {
    let room: Awaited<ReturnType<typeof createManagedRoom>>
    let owner: Owner | undefined
    let store: Connection
    before(async () => {
      room = await createManagedRoom()
      const directory = await room.copy()
      if (how === 'a live owner') owner = await startOwner(directory)
      store = await connect(directory, { machines })
    })
    after(async () => {
      await store[Symbol.asyncDispose]()
      await owner?.finish()
      await room.remove()
    })

    test('says which process has the store open', async () => {
      const info = await store.info()
      assert.equal(info.owner.pid, owner?.pid ?? process.pid)
      assert.deepEqual(info.machines, ['door'])
      assert.match(info.version, /^\d+\.\d+\.\d+/)
    })

    test('lists the runs with what they did and what they wait for', async () => {
      const runs = (await toArray(store.runs())) as RunSummary[] // all can be read
      const lines = runs.map(({ id, status, state, turns, spend, waitsFor, error, parent }) =>
        JSON.stringify([
          id,
          status,
          state,
          turns,
          spend.modelCalls,
          spend.toolCalls,
          toTimeless(waitsFor),
          error?.message,
          parent,
        ]),
      )
      assert.deepEqual(lines, [
        '["door/ajar","running","open",0,0,0,"until …",null,null]',
        '["door/broken","failed","open",0,0,0,null,"The hinge broke",null]',
        '["door/shut","completed","shut",0,0,0,null,null,null]',
        '["helper/ann","running",null,2,3,1,"approval of deploy",null,null]',
        '["report/1","completed",null,1,2,1,null,null,null]',
        '["report/1/helper","completed",null,1,2,1,null,null,"report/1"]',
      ])
    })

    const queries = [
      [{ status: 'failed' }, ['door/broken']],
      [{ kind: 'flow' }, ['report/1']],
      [{ name: 'helper' }, ['helper/ann', 'report/1/helper']],
      [{ name: 'helper', isTop: true }, ['helper/ann']],
      [{ hasPending: true }, ['helper/ann']],
      [{ after: 'door/shut', limit: 2 }, ['helper/ann', 'report/1']],
      [{ limit: 0 }, []],
      [{ updatedSince: 8.64e15 }, []],
    ] as const
    for (const [query, expected] of queries)
      test(`lists the runs of ${JSON.stringify(query)}`, async () => {
        assert.deepEqual(
          (await toArray(store.runs(query))).map(({ id }) => id),
          expected,
        )
      })

    test('lists the runs that are named, as far as there are such', async () => {
      const found = await toArray(store.runs({ ids: ['report/1', 'nobody', 'door/shut'], status: 'completed' }))
      assert.deepEqual(
        found.map(({ id }) => id),
        ['door/shut', 'report/1'],
      )
    })

    test('tells what the machine of a run looks like, that of a conversation too; a flow has none', async () => {
      const door = await store.machine('door/ajar')
      assert.deepEqual(
        door?.machines.door?.states.map(({ id, type }) => [id, type]),
        [
          ['door.closed', 'atomic'],
          ['door.open', 'atomic'],
          ['door.shut', 'final'],
        ],
      )
      const agent = await store.machine('helper/ann')
      assert.ok(agent?.machines.agent?.states.some(({ key }) => key === 'thinking'))
      assert.equal(await store.machine('report/1'), undefined)
      await assert.rejects(store.machine('nobody'), { code: 'RUN_NOT_FOUND' })
    })

    test('refuses a query that is none', async () => {
      await assert.rejects(async () => toArray(store.runs({ limit: -1 })), TypeError)
      await assert.rejects(async () => toArray(store.runs({ colour: 'red' } as object)), TypeError)
    })

    test('tells a run as a tree of turns and calls', async () => {
      const { tree, questions, children } = await store.run('helper/ann')
      assert.deepEqual(
        tree.map(({ turn, checkpoint, status, prompt, output, tries }) => [turn, checkpoint, status, prompt, output, tries]),
        [
          [1, 'helper', 'ok', 'note milk', 'Done: noted milk', 1],
          [2, 'helper_2', 'inDoubt', 'deploy prod', undefined, 1],
        ],
      )
      const [first, second] = tree
      assert.deepEqual(
        first?.calls.map(({ kind, status, result, calls }) => [
          kind,
          status,
          result,
          calls.map((call) => [call.name, call.arguments, call.result]),
        ]),
        [
          ['model', 'ok', '', [['note', '{"text":"milk"}', 'noted milk']]],
          ['model', 'ok', 'Done: noted milk', []],
        ],
      )
      const approval = second?.calls[0]?.calls[0]
      assert.deepEqual([approval?.kind, approval?.name, approval?.status], ['approval', 'deploy', 'waiting'])
      assert.deepEqual(
        questions.map(({ id }) => id),
        [approval?.key],
      )
      assert.deepEqual(children, [])
    })

    test('tells a flow with its steps, its conversations, and what it was given and came to', async () => {
      const { steps, children, input, output } = await store.run('report/1')
      assert.deepEqual(children, ['report/1/helper'])
      assert.deepEqual(
        steps.map(({ kind, name, status, result }) => [kind, name, status, result]),
        [['step', 'print', 'ok', 'DONE: NOTED RAIN']],
      )
      assert.deepEqual([input, output], ['rain', 'DONE: NOTED RAIN'])
    })

    test('has the transcript of a conversation, and of those within a flow', async () => {
      const ann = await toArray(store.transcript('helper/ann'))
      assert.deepEqual(
        ann.map(({ turn, message }) => [turn, message.role, message.content]),
        [
          [1, 'user', 'note milk'],
          [1, 'assistant', ''],
          [1, 'tool', 'noted milk'],
          [1, 'assistant', 'Done: noted milk'],
          [2, 'user', 'deploy prod'],
          [2, 'assistant', ''],
        ],
      )
      const flow = await toArray(store.transcript('report/1'))
      assert.deepEqual(new Set(flow.map(({ runId }) => runId)), new Set(['report/1/helper']))
      assert.equal(flow.length, 4)
    })

    test('has the snapshot of a machine', async () => {
      const { state, context, timers, status } = await store.snapshot('door/ajar')
      assert.deepEqual({ state, context, status }, { state: 'open', context: { opened: 1, note: 'front' }, status: 'running' })
      assert.deepEqual(
        timers.map(({ event }) => event),
        ['xstate.after.3600000.door.open'],
      )
    })

    test('has the steps and the stream of a run', async () => {
      const steps = await toArray(store.steps('report/1/helper'))
      assert.deepEqual(
        steps.map(({ kind }) => kind),
        ['model', 'tool', 'model', 'turn'],
      )
      const chunks = await toArray(store.stream('report/1/helper', { follow: false }))
      assert.deepEqual(
        chunks.flatMap((chunk) => (chunk.type === 'text' ? [chunk.delta] : [])),
        ['Done: noted rain'],
      )
    })

    test('ends a stream that waits when its signal says so', async () => {
      const leaving = new AbortController()
      const chunks = store.stream('helper/ann', { signal: leaving.signal })[Symbol.asyncIterator]()
      await assert.rejects(
        async () => {
          while ((await chunks.next()).done !== true) leaving.abort()
        },
        (error) => isPerdureError(error, 'ABORTED'),
      )
    })

    test('names a run that there is not', async () => {
      const id = 'door/none'
      const attempts: readonly (() => Promise<unknown>)[] = [
        () => store.run(id),
        () => store.snapshot(id),
        () => toArray(store.steps(id)),
        () => toArray(store.transcript(id)),
        () => toArray(store.stream(id)),
        () => store.answer(id, 'q', true),
        () => store.send(id, { type: 'open' }),
        () => store.cancel(id),
        () => store.resume(id),
        () => store.settle(id, 'step', { result: 1 }),
      ]
      for (const attempt of attempts)
        await assert.rejects(attempt, (error) => isPerdureError(error, 'RUN_NOT_FOUND') && error.message.includes(id))
      assert.equal(await store.delete(id), false)
    })

    test('sends, tells of what happens, and sends the same event once only', async () => {
      const listening = store.events({ run: 'door/ajar' })[Symbol.asyncIterator]()
      const heard = listening.next()
      await store.info() // what was asked for later is heard later
      await store.send('door/ajar', { type: 'close' }, { id: 'once' })
      assert.equal((await heard).value.type, 'machine.completed')
      await listening.return?.()
      await store.send('door/ajar', { type: 'close' }, { id: 'once' })
      await assert.rejects(store.send('door/ajar', { type: 'close' }), (error) => isPerdureError(error, 'RUN_ENDED'))
      assert.deepEqual((await store.run('door/ajar')).output, { opened: 1 })
    })

    test('answers a question once', async () => {
      const [question] = await toArray(store.pending({ run: 'helper/ann' }))
      assert.deepEqual([question?.kind, question?.call], ['approval', { name: 'deploy', arguments: '{"to":"prod"}' }])
      await assert.rejects(store.answer('helper/ann', question?.id ?? '', 7), (error) => isPerdureError(error, 'ANSWER_INVALID'))
      await store.answer('helper/ann', question?.id ?? '', true)
      await assert.rejects(store.answer('helper/ann', question?.id ?? '', true), (error) => isPerdureError(error, 'STEP_SETTLED'))
      assert.deepEqual(await toArray(store.pending()), [])
    })

    test('forks a conversation, and says what of it is whose', async () => {
      const { id } = await store.fork('helper/ann', { at: { turn: 2 }, prompt: 'Bob', id: 'helper/bob' })
      assert.equal(id, 'helper/bob')
      const { forkedFrom, turns, tree, status } = await store.run(id)
      assert.deepEqual([forkedFrom, turns, status], [{ run: 'helper/ann', turn: 2 }, 2, 'running'])
      assert.deepEqual(
        tree.map(({ turn, prompt, status: stands }) => [turn, prompt, stands]),
        [[2, 'Bob', 'inDoubt']],
      )
      await store.fork(id, { at: { after: 1 }, id: 'helper/eve' })
      const outline = async (run: string) =>
        (await toArray(store.transcript(run))).map(({ turn, message }) => `${turn} ${message.role}`)
      const before = (await outline('helper/ann')).filter((line) => line.startsWith('1'))
      assert.deepEqual(await outline('helper/bob'), [...before, '2 user'])
      assert.deepEqual(await outline('helper/eve'), before)
      await assert.rejects(store.fork('report/1', { at: { turn: 1 } }), (error) => isPerdureError(error, 'FORK_IMPOSSIBLE'))
      await assert.rejects(store.fork('helper/ann', {} as never), TypeError)
      for (const run of ['helper/bob', 'helper/eve']) assert.equal(await store.delete(run), true)
    })

    test('exports a run, and imports it under another id', async () => {
      const pieces = await toArray(store.export('report/1'))
      assert.ok(pieces.every((piece) => piece.constructor === Uint8Array))
      async function* source() {
        yield* pieces
      }
      assert.deepEqual(await store.import(source(), { id: 'report/copy' }), { id: 'report/copy' })
      assert.deepEqual((await store.run('report/copy')).children, ['report/copy/helper'])
      assert.deepEqual(await toArray(store.verify()), [])
      await assert.rejects(store.import(source()), (error) => isPerdureError(error, 'RUN_CONFLICT'))
      assert.equal(await store.delete('report/copy'), true)
      await assert.rejects(toArray(store.export('report/copy')), (error) => isPerdureError(error, 'RUN_NOT_FOUND'))
    })

    test('counts what is in it, and removes what nobody needs', async () => {
      const { runs, byKind } = await store.stats()
      assert.deepEqual([runs, byKind], [6, { machine: 3, flow: 1, agent: 2 }])
      const { before: _, after: __, ...collected } = await store.gc({ maxRuns: 100 })
      assert.deepEqual(collected, { runs: 0, remains: 0, indexEntries: 0, folders: 0, damaged: 0 })
      await assert.rejects(store.gc({ colour: 'red' } as object), TypeError)
    })

    test('refuses what is no export, however long it goes on, and hands on why its bytes end', async () => {
      async function* rubbish() {
        for (let count = 0; count < 2_000; count += 1) yield new Uint8Array(10_000).fill(count)
      }
      await assert.rejects(store.import(rubbish()), (error) => isPerdureError(error, 'EXPORT_INVALID'))
      async function* broken() {
        const [first = new Uint8Array()] = await toArray(store.export('report/1'))
        yield first
        throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
      }
      await assert.rejects(store.import(broken(), { id: 'report/copy' }), { message: 'no such file', code: 'ENOENT' })
      await assert.rejects(store.import(rubbish(), { id: '' }), (error) => isPerdureError(error, 'RUN_ID_INVALID'))
      await assert.rejects(store.import('text' as unknown as AsyncIterable<Uint8Array>)) // as a caller without types could
      await assert.rejects(store.run('report/copy'), (error) => isPerdureError(error, 'RUN_NOT_FOUND'))
    })

    test('cancels with a reason, resumes and deletes', async () => {
      await store.cancel('helper/ann')
      assert.equal((await store.run('helper/ann')).status, 'cancelled')
      await store.resume()
      await assert.rejects(store.resume('report/1'), (error) => isPerdureError(error, 'RUN_CONFLICT'))
      assert.equal(await store.delete('report/1'), true)
      assert.deepEqual(
        (await toArray(store.runs({ kind: 'agent' }))).map(({ id }) => id),
        ['helper/ann'],
      )
    })
  })

const toTimeless = (text: string | undefined): string | undefined => text?.replace(/until .*/, 'until …')

test('the table of methods is the interface', async () => {
  const store = await openMemoryStore()
  const runtime = await openRuntime({ store, log: 'silent' })
  const management: Management = createManagement({
    runtime,
    store,
    now: () => 0,
    openedAt: 0,
    machines: [],
    flows: new Set(),
    closing: new AbortController().signal,
  })
  assert.deepEqual(Object.keys(methods).toSorted(), Object.keys(management).toSorted())
  await runtime.close()
})
