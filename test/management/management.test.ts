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
