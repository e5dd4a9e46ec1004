/**
 * Streams by property: a random life of an agent (answers in random pieces, attempts that fail, turns that start over, processes that die with what they were
 * writing) and random subscribers, who come, read a little, go, and come back with their last offset. Would catch: a token that comes twice or never, an
 * attempt that was void and was not said to be, two attempts in one text, also when what was given had not reached the disk.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { StepRecord } from '../../src/persistence/run-log.ts'
import type { Store } from '../../src/persistence/store.ts'
import type { StreamChunk } from '../../src/runtime/stream.ts'
import { drain, Keeper, openStreamProcess, type StreamProcess, toValue } from '../support/stream-process.ts'

type Command =
  | { readonly type: 'text' | 'rest'; readonly delta: string }
  | { readonly type: 'arguments'; readonly callId: string; readonly delta: string }
  | { readonly type: 'restart' | 'fail' | 'settle' | 'turn' | 'again' | 'hold' | 'flush' }
  | { readonly type: 'crash'; readonly recovers: boolean }
  | { readonly type: 'join' | 'pull' | 'leave'; readonly who: number }

const delta = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 })
const who = fc.integer({ min: 0, max: 2 })
const plain = (...types: ('restart' | 'fail' | 'settle' | 'turn' | 'again' | 'hold' | 'flush')[]) =>
  fc.record({ type: fc.constantFrom(...types) })
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('text' as const), delta }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('rest' as const), delta }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('arguments' as const), callId: fc.constantFrom('x', 'y'), delta }) },
  { weight: 3, arbitrary: plain('settle') },
  { weight: 3, arbitrary: plain('restart', 'fail', 'turn', 'again', 'hold', 'flush') },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('crash' as const), recovers: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('join' as const, 'leave' as const), who }) },
  { weight: 10, arbitrary: fc.record({ type: fc.constant('pull' as const), who }) },
)

interface Subscriber {
  readonly keeper: Keeper
  iterator: AsyncIterator<StreamChunk> | undefined
  pending: Promise<void> | undefined
  ending: AbortController
  error: unknown
}

const RUN = 'talk'

class Life {
  readonly subscribers: Subscriber[] = []
  readonly time = { ms: 1_000 }
  process!: StreamProcess
  turn = 1
  version = 1
  answer = 0
  attempt = 0
  key = ''
  /** What the provider has written of the attempt. */
  text = ''
  calls: Record<string, string> = {}
  inFlight = false

  readonly disk: Store

  constructor(disk: Store) {
    this.disk = disk
    for (let count = 0; count < 3; count++)
      this.subscribers.push({
        keeper: new Keeper(),
        iterator: undefined,
        pending: undefined,
        ending: new AbortController(),
        error: undefined,
      })
  }

  put(change: Partial<StepRecord>): void {
    const { key, attempt } = this
    const { startedAt = this.time.ms++ } = this.process.log.step(key) ?? {}
    this.process.log.putStep(key, { kind: 'model', name: 'm', status: 'intended', attempt, startedAt, ...change })
    this.process.log.commit().catch(() => {})
  }
  begin(attempt: number): void {
    this.attempt = attempt
    this.text = ''
    this.calls = {}
    this.inFlight = true
    this.put({})
    this.process.streams.begin({ runId: RUN, key: this.key, kind: 'model', name: 'm', attempt })
  }
  next(): void {
    this.answer++
    this.key = `call/${String(this.turn).padStart(6, '0')}.${this.version}/m${String(this.answer).padStart(3, '0')}`
    this.begin(1)
  }
  /** Takes up what the journal has, as a new process does. */
  takeUp(recovers: boolean): void {
    const last = this.process.log.steps('call/').at(-1)
    if (last === undefined) return void Object.assign(this, { turn: 1, version: 1, answer: 0, inFlight: false })
    const [key, record] = last
    const [, turn, version, answer] = /^call\/(\d+)\.(\d+)\/m(\d+)$/.exec(key) ?? []
    const isSame = this.key === key && this.attempt === record.attempt
    const remote = { text: this.text, calls: this.calls }
    Object.assign(this, { turn: Number(turn), version: Number(version), answer: Number(answer), key, attempt: record.attempt })
    this.inFlight = false
    if (record.status !== 'intended') return
    const { streams } = this.process
    this.inFlight = true
    if (record.retryAt === undefined) streams.begin({ runId: RUN, key, kind: 'model', name: 'm', attempt: record.attempt })
    if (recovers && isSame && record.retryAt === undefined) {
      // The provider goes on with it, from the beginning.
      this.text = ''
      this.calls = {}
      for (const unit of remote.text) this.write(unit)
      for (const [callId, text] of Object.entries(remote.calls)) this.writeArguments(callId, text)
      return
    }
    streams.discard(RUN, key)
    this.begin(record.attempt + 1)
  }
  write(text: string): void {
    this.text += text
    this.process.streams.text(RUN, this.key, text)
  }
  writeArguments(callId: string, text: string): void {
    this.calls[callId] = (this.calls[callId] ?? '') + text
    this.process.streams.arguments(RUN, this.key, { callId, name: 'note', delta: text })
  }
  settle(rest = ''): void {
    if (!this.inFlight) return
    this.inFlight = false
    const value = toValue(this.text + rest, this.calls)
    this.put({ status: 'ok', value, endedAt: this.time.ms++ })
    this.process.streams.settle(RUN, this.key, 'ok', value)
  }
  async open(): Promise<void> {
    this.process = await openStreamProcess(this.disk, RUN, this.time)
  }

  async apply(one: Command): Promise<void> {
    const { streams } = this.process
    switch (one.type) {
      case 'text':
        if (!this.inFlight) this.next()
        return this.write(one.delta)
      case 'arguments':
        if (!this.inFlight) this.next()
        return this.writeArguments(one.callId, one.delta)
      case 'rest':
        return this.settle(one.delta)
      case 'settle':
        return this.settle()
      case 'restart':
        if (!this.inFlight) return
        this.text = ''
        this.calls = {}
        return streams.discard(RUN, this.key)
      case 'fail':
        if (!this.inFlight) return
        this.put({ retryAt: this.time.ms })
        streams.discard(RUN, this.key)
        return this.begin(this.attempt + 1)
      case 'turn':
        if (this.answer === 0) this.next() // a turn that is over had an answer
        this.settle()
        this.turn++
        this.version = 1
        this.answer = 0
        return
      case 'again':
        // A turn that is not taken up but started over: its process had died.
        await this.crash(false, () => {
          for (const [key] of this.process.log.steps('call/')) {
            const [, turn, version] = /^call\/(\d+)\.(\d+)/.exec(key) ?? []
            if (Number(turn) < this.turn) continue
            this.version = Number(version) + 1
            this.process.log.deleteStep(key)
          }
          this.answer = 0
          this.inFlight = false
        })
        return
      case 'hold':
        return this.process.hold()
      case 'flush':
        return this.process.flush()
      case 'crash':
        return this.crash(one.recovers)
      case 'join':
        return this.join(one.who)
      case 'pull':
        await this.pull(one.who)
        return
      case 'leave':
        return this.leave(one.who)
    }
  }
  async crash(recovers: boolean, instead?: () => void): Promise<void> {
    this.process.kill()
    await drain()
    for (const subscriber of this.subscribers) await this.gone(subscriber)
    await this.open()
    if (instead === undefined) this.takeUp(recovers)
    else {
      const last = this.process.log.steps('call/').at(-1)
      // Nothing came to the disk: it is the first turn that is started over.
      if (last === undefined) this.version = 1
      this.turn = last === undefined ? 1 : Number(/^call\/(\d+)/.exec(last[0])?.[1])
      instead()
    }
  }
  join(index: number): void {
    const subscriber = this.subscribers[index]
    if (subscriber === undefined || subscriber.iterator !== undefined) return
    subscriber.ending = new AbortController()
    const { offset } = subscriber.keeper
    subscriber.iterator = this.process.stream({ offset, signal: subscriber.ending.signal })[Symbol.asyncIterator]()
  }
  async pull(index: number): Promise<boolean> {
    const subscriber = this.subscribers[index]
    if (subscriber?.iterator === undefined) return false
    const { keeper, ending } = subscriber
    const before = keeper.chunks.length
    subscriber.pending ??= subscriber.iterator
      .next()
      .then(({ value, done }) => {
        if (done !== true) keeper.take(value)
      })
      .catch((error: unknown) => {
        // A process that was killed tells nobody anything.
        if (!ending.signal.aborted && !this.process.services.closing.aborted) subscriber.error = error
      })
      .finally(() => {
        subscriber.pending = undefined
      })
    await drain()
    return keeper.chunks.length > before
  }
  async pullAll(index: number): Promise<void> {
    await drain() // what was asked for before may just have come
    for (let count = 0; await this.pull(index); count++) if (count > 1_000) throw new Error('a stream without an end')
  }
  async gone(subscriber: Subscriber): Promise<void> {
    subscriber.ending.abort()
    await drain()
    subscriber.iterator = undefined
    subscriber.pending = undefined
  }
  async leave(index: number): Promise<void> {
    const subscriber = this.subscribers[index]
    if (subscriber !== undefined) await this.gone(subscriber)
  }
}

for (const isFromStart of [true, false])
  test(`what ${isFromStart ? 'a subscriber from the start' : 'any subscriber'} kept is what is recorded, each token once`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 60 }), async (commands) => {
        const life = new Life(await openMemoryStore())
        await life.open()
        if (isFromStart) {
          for (const index of life.subscribers.keys()) {
            life.join(index)
            await life.pull(index)
          }
          // So that each has an offset, with which it may come back.
          life.next()
          life.write('a')
          for (const index of life.subscribers.keys()) await life.pullAll(index)
        }
        for (const one of commands) await life.apply(one)
        await life.process.flush()
        life.settle()
        life.next() // what was lost with a process is made again
        life.write('b')
        life.settle()
        await life.process.flush()
        for (const [index, subscriber] of life.subscribers.entries()) {
          life.join(index)
          await life.pullAll(index)
          assert.equal(subscriber.error, undefined)
        }
        const recorded = new Map(
          life.process.log.steps('call/').map(([key, { value }]) => {
            const { content, toolCalls } = (value as ReturnType<typeof toValue>).message
            return [
              `${RUN}#${key}`,
              { text: content, calls: Object.fromEntries(toolCalls.map((call) => [call.id, call.arguments])) },
            ]
          }),
        )
        for (const { keeper } of life.subscribers) {
          const kept = new Map([...keeper.calls].map(([id, { text, calls }]) => [id, { text, calls }]))
          if (isFromStart) assert.deepEqual(new Map([...kept].sort()), new Map([...recorded].sort()))
          else for (const [id, call] of kept) assert.deepEqual(call, recorded.get(id), id)
        }
        await life.leave(0)
        await life.leave(1)
        await life.leave(2)
      }),
      { numRuns: Number(process.env.STREAM_RUNS ?? 150) },
    )
  })
