/** P4: calls of one answer that run at once resume exactly. Deaths by SIGKILL are in test/crash. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { scriptedModel } from 'perdure/testing'
import { callNote, createRuntimeRoom, noteTool, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

describe('five calls at once', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const texts = ['a', 'b', 'c', 'd', 'e']
  const model = () =>
    scriptedModel(({ messages }) => {
      const results = messages.filter(({ role }) => role === 'tool')
      return results.length === 0 ? { toolCalls: texts.map(callNote) } : results.map(({ content }) => content).join()
    })
  const all = 'noted a,noted b,noted c,noted d,noted e'

  test('of which three had ended when the process died: two run', async () => {
    const directory = room.room.path()
    const first = await room.open(directory)
    const three = Promise.withResolvers<void>()
    let settled = 0
    first.subscribe((event) => {
      if (event.type === 'call.settled' && event.kind === 'tool' && ++settled === 3) three.resolve()
    })
    const held = noteTool((text) => (text === 'b' || text === 'd' ? new Promise(() => {}) : undefined))
    const asking = model()
    const run = first.durable(testAgent(asking, {}, [held.note])).run('go')
    const cut = assert.rejects(run, { code: 'ABORTED' })
    await three.promise
    await first.close()
    await cut
    assert.deepEqual(held.notes.toSorted(), texts)

    const second = await room.open(directory)
    const { note, notes } = noteTool()
    const again = model()
    const { output, spend } = await second.durable(testAgent(again, {}, [note])).run('go')
    assert.deepEqual(notes.toSorted(), ['b', 'd'])
    assert.equal(output, all)
    assert.deepEqual([asking.calls, again.calls, spend.modelCalls, spend.toolCalls], [1, 1, 2, 5])
    const started = second.events.flatMap((event) =>
      event.type === 'call.started' && event.kind === 'tool' ? [[event.attempt, event.inDoubt]] : [],
    )
    assert.deepEqual(started, [
      [2, true],
      [2, true],
    ])
    await second.close()
  })

  test('are told to the model in the order in which it asked, whatever the order in which they end', async () => {
    const runtime = await room.open()
    const gates = new Map(texts.map((text) => [text, Promise.withResolvers<void>()]))
    const { note } = noteTool((text) => gates.get(text)?.promise)
    const started = Promise.withResolvers<void>()
    let count = 0
    runtime.subscribe((event) => {
      if (event.type === 'call.started' && event.kind === 'tool' && ++count === 5) started.resolve()
      // Each lets the one before it end.
      if (event.type === 'call.settled' && event.kind === 'tool')
        gates.get(texts[texts.length - 2 - settled.push(event.key) + 1] ?? '')?.resolve()
    })
    const settled: string[] = []
    const run = runtime.durable(testAgent(model(), {}, [note])).run('go')
    await started.promise
    gates.get('e')?.resolve()
    assert.equal((await run).output, all)
    assert.deepEqual(settled, settled.toSorted().reverse())
    await runtime.close()
  })

  test('a call that is asked for again while its first execution still runs is not executed a second time', async () => {
    const runtime = await room.open()
    const release = Promise.withResolvers<void>()
    const { note, notes } = noteTool(() => release.promise)
    const started = Promise.withResolvers<void>()
    runtime.subscribe((event) => event.type === 'call.started' && event.kind === 'tool' && started.resolve())
    const asking = scriptedModel(({ messages }) => (messages.length > 1 ? 'done' : { toolCalls: [callNote('x')] }))
    const session = runtime.durable(testAgent(asking, {}, [note])).session('x')
    const abort = new AbortController()
    const run = session.run('go', { signal: abort.signal })
    await started.promise
    abort.abort()
    await assert.rejects(run, { code: 'ABORTED' })
    const again = session.run('go')
    release.resolve()
    assert.equal((await again).output, 'done')
    assert.deepEqual(notes, ['x'])
    await runtime.close()
  })
})
