import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPerdureError } from 'perdure'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { StepRecord } from '../../src/persistence/run-log.ts'
import { createRunLog } from '../../src/persistence/run-log.ts'
import type { StreamChunk } from '../../src/runtime/stream.ts'
import { drain, Keeper, openStreamProcess, type StreamProcess, toValue } from '../support/stream-process.ts'

const RUN = 'talk'
const M1 = 'call/000001.1/m001'
const time = { ms: 1_000 }

const begin = ({ streams }: StreamProcess, key = M1, attempt = 1, runId = RUN, kind = 'model'): void =>
  streams.begin({ runId, key, kind, name: kind, attempt })

async function record({ log }: Pick<StreamProcess, 'log'>, key: string, change: Partial<StepRecord>): Promise<void> {
  const startedAt = time.ms++
  log.putStep(key, { kind: 'model', name: 'model', status: 'intended', attempt: 1, startedAt, ...change })
  await log.commit()
}

const answered = (text: string, attempt = 1): Partial<StepRecord> => ({
  status: 'ok',
  attempt,
  value: toValue(text),
  endedAt: time.ms++,
})

async function settle(process: StreamProcess, text: string, key = M1, attempt = 1): Promise<void> {
  const done = record(process, key, answered(text, attempt))
  process.streams.settle(RUN, key, 'ok', toValue(text))
  await done
}

/** What a stream gives without anything happening any more. */
async function rest(stream: AsyncIterable<StreamChunk>): Promise<StreamChunk[]> {
  const chunks: StreamChunk[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

const toLines = (chunks: readonly StreamChunk[]): string[] =>
  chunks.map((chunk) => {
    const what = chunk.type === 'settled' ? chunk.status : 'delta' in chunk ? chunk.delta : 'value' in chunk ? chunk.value : ''
    return `${chunk.runId}#${chunk.key.slice(-4)} ${chunk.attempt} ${chunk.type} ${String(what)}`.trim()
  })

/** Takes chunks as they come. */
function follow(stream: AsyncIterable<StreamChunk>, keeper = new Keeper()) {
  const state = { keeper, error: undefined as unknown, isOver: false }
  const run = async (): Promise<void> => {
    for await (const chunk of stream) keeper.take(chunk)
    state.isOver = true
  }
  run().catch((error: unknown) => {
    state.error = error
  })
  return state
}

test('a subscriber hears text and arguments as they come, and that the call has settled', async () => {
  const process = await openStreamProcess(await openMemoryStore(), RUN, time)
  const { keeper } = follow(process.stream())
  await drain()
  begin(process)
  for (const delta of ['Hel', 'lo']) {
    process.streams.text(RUN, M1, delta)
    await drain()
  }
  process.streams.arguments(RUN, M1, { callId: 'c', name: 'note', delta: '{}' })
  await drain()
  await settle(process, 'Hello')
  await drain()
  assert.deepEqual(toLines(keeper.chunks).slice(0, 3), [
    'talk#m001 1 text Hel',
    'talk#m001 1 text lo',
    'talk#m001 1 arguments {}',
  ])
  assert.equal(keeper.chunks.at(-1)?.type, 'settled')
  process.kill()
})

test('one that joins late has the turn from its beginning, a text at a time', async () => {
  const process = await openStreamProcess(await openMemoryStore(), RUN, time)
  await record(process, 'call/000001.1/m001', answered('of an earlier turn'))
  await record(process, 'call/000002.1/m001', answered('recorded'))
  begin(process, 'call/000002.1/m002')
  process.streams.text(RUN, 'call/000002.1/m002', 'in ')
  process.streams.text(RUN, 'call/000002.1/m002', 'flight')
  assert.deepEqual(toLines(await rest(process.stream({ follow: false }))), [
    'talk#m001 1 text recorded',
    'talk#m001 1 settled ok',
    'talk#m002 1 text in flight',
  ])
})

test('one that joins the run of a machine late has the turn of the agent that was heard of last', async () => {
  const process = await openStreamProcess(await openMemoryStore(), RUN, time, 'machine')
  await record(process, 'b@1/call/000001.1/m001', answered('of an earlier agent'))
  await record(process, 'a@2/call/000001.1/m001', answered('recorded'))
  await record(process, 'other#1', { kind: 'step' })
  assert.deepEqual(toLines(await rest(process.stream({ follow: false }))), [
    'talk#m001 1 text recorded',
    'talk#m001 1 settled ok',
  ])
})

test('an offset goes on with the rest, over a crash, also with what settled meanwhile', async () => {
  const disk = await openMemoryStore()
  const first = await openStreamProcess(disk, RUN, time)
  begin(first)
  await record(first, M1, {})
  first.streams.text(RUN, M1, 'one ')
  const [chunk] = await rest(first.stream({ follow: false }))
  first.kill()
  const second = await openStreamProcess(disk, RUN, time)
  begin(second)
  second.streams.text(RUN, M1, 'one two')
  await settle(second, 'one two')
  await record(second, 'call/000002.1/m001', answered('three'))
  const offset = chunk?.offset
  assert.deepEqual(toLines(await rest(second.stream({ offset, follow: false }))), [
    'talk#m001 1 text two',
    'talk#m001 1 settled ok',
    'talk#m001 1 text three',
    'talk#m001 1 settled ok',
  ])
})

test('an attempt that was cut off by a crash and is made again is said to be void', async () => {
  const disk = await openMemoryStore()
  const first = await openStreamProcess(disk, RUN, time)
  begin(first)
  await record(first, M1, {})
  first.streams.text(RUN, M1, 'one')
  const [chunk] = await rest(first.stream({ follow: false }))
  first.kill()
  const second = await openStreamProcess(disk, RUN, time)
  begin(second, M1, 2)
  second.streams.text(RUN, M1, 'two')
  const offset = chunk?.offset
  assert.deepEqual(toLines(await rest(second.stream({ offset, follow: false }))), [
    'talk#m001 1 discarded',
    'talk#m001 2 text two',
  ])
})

test('a turn that starts over voids all that was given of it', async () => {
  const disk = await openMemoryStore()
  const first = await openStreamProcess(disk, RUN, time)
  await record(first, M1, answered('one'))
  await record(first, 'call/000001.1/m002', answered('two'))
  const offset = (await rest(first.stream({ follow: false }))).at(-1)?.offset
  first.log.deleteStep(M1)
  first.log.deleteStep('call/000001.1/m002')
  await record(first, 'call/000001.2/m001', answered('other'))
  assert.deepEqual(toLines(await rest(first.stream({ offset, follow: false }))), [
    'talk#m001 1 discarded',
    'talk#m002 1 discarded',
    'talk#m001 1 text other',
    'talk#m001 1 settled ok',
  ])
})

test('what settled and did not reach the disk is void when the call comes to something else', async () => {
  const disk = await openMemoryStore()
  const first = await openStreamProcess(disk, RUN, time)
  const { keeper } = follow(first.stream())
  await drain()
  first.hold()
  void record(first, M1, {})
  begin(first)
  first.streams.text(RUN, M1, 'lost')
  void settle(first, 'lost')
  await drain()
  assert.equal(keeper.calls.get(`${RUN}#${M1}`)?.status, 'ok')
  first.kill()
  const second = await openStreamProcess(disk, RUN, time)
  begin(second)
  second.streams.text(RUN, M1, 'kept')
  await settle(second, 'kept')
  for (const chunk of await rest(second.stream({ offset: keeper.offset, follow: false }))) keeper.take(chunk)
  assert.equal(keeper.calls.get(`${RUN}#${M1}`)?.text, 'kept')
})

test('an answer that is not told piece by piece comes when it has settled', async () => {
  const process = await openStreamProcess(await openMemoryStore(), RUN, time)
  const { keeper } = follow(process.stream())
  await drain()
  begin(process)
  await settle(process, 'all at once')
  await drain()
  assert.deepEqual(toLines(keeper.chunks), ['talk#m001 1 text all at once', 'talk#m001 1 settled ok'])
  process.kill()
})

test('a slow subscriber has text in one piece and the newest progress, with the number of values left out', async () => {
  const process = await openStreamProcess(await openMemoryStore(), RUN, time)
  const stream = process.stream()[Symbol.asyncIterator]()
  const tool = `${M1}/t`
  begin(process)
  begin(process, tool, 1, RUN, 'tool')
  process.streams.text(RUN, M1, 'a')
  const first = await stream.next()
  for (let count = 1; count <= 1_000; count++) {
    process.streams.text(RUN, M1, 'b')
    process.streams.progress(RUN, tool, count)
  }
  const keeper = new Keeper()
  if (first.done !== true) keeper.take(first.value)
  for (let chunk = await stream.next(); chunk.done !== true; chunk = await stream.next()) {
    keeper.take(chunk.value)
    if (keeper.calls.get(`${RUN}#${tool}`)?.progress.at(-1) === 1_000) break
  }
  const { progress = [], dropped } = keeper.calls.get(`${RUN}#${tool}`) ?? {}
  assert.equal(keeper.calls.get(`${RUN}#${M1}`)?.text, `a${'b'.repeat(1_000)}`)
  assert.equal(progress.length, 64)
  assert.equal(dropped, 1_000 - 64)
  assert.ok(keeper.chunks.length < 70, `${keeper.chunks.length}`)
})

test('a subscriber that is thousands of calls behind catches up from the journal', async () => {
  const process = await openStreamProcess(await openMemoryStore(), RUN, time)
  const stream = process.stream()[Symbol.asyncIterator]()
  const keeper = new Keeper()
  begin(process)
  process.streams.text(RUN, M1, 'x')
  const first = await stream.next()
  if (first.done !== true) keeper.take(first.value)
  await settle(process, 'x')
  const keys = Array.from({ length: 2_000 }, (_, index) => `call/${String(index + 2).padStart(6, '0')}.1/m001`)
  for (const key of keys) {
    begin(process, key)
    process.streams.text(RUN, key, key)
    process.log.putStep(key, { kind: 'model', name: 'model', attempt: 1, startedAt: time.ms++, ...answered(key), status: 'ok' })
    process.streams.settle(RUN, key, 'ok', toValue(key))
  }
  await process.log.commit()
  process.streams.end(RUN)
  for (let chunk = await stream.next(); chunk.done !== true; chunk = await stream.next()) keeper.take(chunk.value)
  assert.deepEqual(
    keys.map((key) => keeper.calls.get(`${RUN}#${key}`)?.text),
    keys,
  )
  assert.ok((keeper.offset ?? '').length < 400, keeper.offset)
})

test('the stream of a flow has that of its conversations', async () => {
  const disk = await openMemoryStore()
  const process = await openStreamProcess(disk, 'flow', time, 'flow')
  const { committer, now } = process.services
  const log = createRunLog(
    { store: disk, committer, now },
    { id: 'flow/writer', kind: 'agent', name: 'writer', data: { parent: 'flow' } },
  )
  const stream = follow(process.stream())
  const other = follow(process.stream())
  await record({ log }, M1, answered('before'))
  await drain()
  begin(process, 'call/000001.1/m002', 1, 'flow/writer')
  process.streams.text('flow/writer', 'call/000001.1/m002', 'after')
  begin(process, M1, 1, 'flowers')
  process.streams.text('flowers', M1, 'of another run')
  await drain()
  process.streams.end('flow')
  await drain()
  assert.equal(stream.isOver, true)
  assert.deepEqual(other.keeper.chunks.length, stream.keeper.chunks.length)
  assert.deepEqual(toLines(stream.keeper.chunks).slice(-1), ['flow/writer#m002 1 text after'])
  assert.ok(!toLines(stream.keeper.chunks).some((line) => line.includes('another')))
})

test('a stream ends with its run, with its signal and with the runtime, and says which', async () => {
  const disk = await openMemoryStore()
  const process = await openStreamProcess(disk, RUN, time)
  const ending = new AbortController()
  const [ended, aborted] = [follow(process.stream()), follow(process.stream({ signal: ending.signal }))]
  await drain()
  ending.abort()
  await drain()
  assert.ok(isPerdureError(aborted.error, 'ABORTED'))
  process.streams.end(RUN)
  await drain()
  assert.equal(ended.isOver, true)
  const closed = follow(process.stream())
  await drain()
  process.kill()
  await drain()
  assert.match(String(closed.error), /killed/)
})

test('a run that has ended gives what it has and ends', async () => {
  const process = await openStreamProcess(await openMemoryStore(), RUN, time)
  await record(process, M1, answered('done'))
  process.log.update({ status: 'completed', endedAt: time.ms++ })
  await process.log.commit()
  assert.deepEqual(toLines(await rest(process.stream())), ['talk#m001 1 text done', 'talk#m001 1 settled ok'])
})

test('what is no offset of the run is refused, and so is a run that there is not', async () => {
  const disk = await openMemoryStore()
  const process = await openStreamProcess(disk, RUN, time)
  const other = await openStreamProcess(disk, 'other', time)
  begin(other, M1, 1, 'other')
  other.streams.text('other', M1, 'x')
  const [chunk] = await rest(other.stream({ follow: false }))
  const offset = chunk?.offset
  assert.throws(() => process.stream({ offset: 'x' }), TypeError)
  assert.throws(() => process.stream({ offset }), /of run `other`/)
  const { streamRun } = await import('../../src/runtime/stream.ts')
  await assert.rejects(rest(streamRun(process.services, 'nobody')), (error) => isPerdureError(error, 'RUN_NOT_FOUND'))
})

test('what a command told before a crash is void when the next process tells it from its beginning', async () => {
  const disk = await openMemoryStore()
  const first = await openStreamProcess(disk, RUN, time)
  const tool = `${M1}/c1`
  begin(first, tool, 1, RUN, 'tool')
  first.streams.progress(RUN, tool, 'line 1')
  const [chunk] = await rest(first.stream({ follow: false }))
  first.kill()
  const second = await openStreamProcess(disk, RUN, time)
  begin(second, tool, 1, RUN, 'tool')
  second.streams.progress(RUN, tool, 'line 1, line 2')
  assert.deepEqual(toLines(await rest(second.stream({ offset: chunk?.offset, follow: false }))), [
    'talk#1/c1 1 discarded',
    'talk#1/c1 1 progress line 1, line 2',
  ])
})

test('answers that were given and lost with those before them are void once those are made again', async () => {
  const disk = await openMemoryStore()
  const live = await openStreamProcess(disk, RUN, time)
  await record(live, M1, answered('one'))
  const { keeper } = follow(live.stream())
  await drain()
  const [m2, m3] = ['call/000001.1/m002', 'call/000001.1/m003']
  begin(live, m2)
  live.streams.text(RUN, m2, 'lost')
  await drain()
  live.hold()
  void settle(live, 'lost', m2)
  begin(live, m3)
  live.streams.text(RUN, m3, 'lost')
  await drain()
  assert.equal(keeper.calls.size, 2, 'nothing is given of an answer before the one that it follows is on disk')
  live.kill()
  const next = await openStreamProcess(disk, RUN, time)
  begin(next, 'call/000001.1/m002')
  await settle(next, 'last', 'call/000001.1/m002')
  for (const chunk of await rest(next.stream({ offset: keeper.offset, follow: false }))) keeper.take(chunk)
  assert.deepEqual(
    [...keeper.calls.values()].map(({ text }) => text),
    ['one', 'last'],
  )
})

test('a call that was ended and says late how voids nothing of what went on without it', async () => {
  for (const isOver of [false, true]) {
    const process = await openStreamProcess(await openMemoryStore(), RUN, time)
    const { keeper } = follow(process.stream())
    const M2 = 'call/000001.1/m002'
    await drain()
    begin(process)
    process.streams.text(RUN, M1, 'cut off')
    await drain()
    begin(process, M2)
    process.streams.text(RUN, M2, 'goes ')
    await drain()
    if (isOver) await settle(process, 'goes on', M2)
    await drain()
    process.streams.settle(RUN, M1, 'error', undefined)
    await drain()
    if (!isOver) await settle(process, 'goes on', M2)
    await drain()
    assert.equal(keeper.calls.get(`${RUN}#${M2}`)?.text, 'goes on')
    assert.deepEqual(
      keeper.chunks.filter(({ type }) => type === 'discarded'),
      [],
    )
    assert.deepEqual(await rest(process.stream({ offset: keeper.offset, follow: false })), [])
    process.kill()
  }
})

test('an offset does not grow with the number of answers in a turn, and still voids each of them', async () => {
  const disk = await openMemoryStore()
  const process = await openStreamProcess(disk, RUN, time)
  const count = 300
  const toKey = (turn: string, answer: number): string => `call/${turn}/m${String(answer).padStart(3, '0')}`
  for (let answer = 1; answer <= count; answer++) await record(process, toKey('000001.1', answer), answered(`a${answer}`))
  const chunks = await rest(process.stream({ follow: false }))
  assert.equal(chunks.length, 2 * count)
  const sizes = chunks.map(({ offset }) => offset.length)
  assert.ok(Math.max(...sizes) < 2 * (sizes[0] ?? 0), `${sizes[0]} … ${Math.max(...sizes)}`)
  const { offset } = chunks.at(-1) ?? {}
  assert.deepEqual(await rest(process.stream({ offset, follow: false })), [])
  for (let answer = 1; answer <= count; answer++) process.log.deleteStep(toKey('000001.1', answer))
  await record(process, toKey('000001.2', 1), answered('anew'))
  const after = await rest(process.stream({ offset, follow: false }))
  const voided = after.filter(({ type }) => type === 'discarded').map(({ key }) => key)
  assert.deepEqual(
    voided,
    Array.from({ length: count }, (_, index) => toKey('000001.1', index + 1)),
  )
  assert.deepEqual(toLines(after.slice(count)), ['talk#m001 1 text anew', 'talk#m001 1 settled ok'])
})

test('a turn is not left behind before it is on disk', async () => {
  const disk = await openMemoryStore()
  const first = await openStreamProcess(disk, RUN, time)
  const { keeper } = follow(first.stream())
  await drain()
  begin(first)
  await record(first, M1, {})
  first.streams.text(RUN, M1, 'lost')
  await drain()
  first.hold()
  void settle(first, 'lost')
  begin(first, 'call/000002.1/m001')
  first.streams.text(RUN, 'call/000002.1/m001', 'lost too')
  await drain()
  first.kill()
  const second = await openStreamProcess(disk, RUN, time)
  begin(second, M1, 2)
  await settle(second, 'made again', M1, 2)
  for (const chunk of await rest(second.stream({ offset: keeper.offset, follow: false }))) keeper.take(chunk)
  assert.deepEqual(
    [...keeper.calls.values()].map(({ text }) => text),
    ['made again'],
  )
})
