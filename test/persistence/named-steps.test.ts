import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPerdureError } from '../../src/errors.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { deltaRange, stepKey } from '../../src/persistence/keys.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import { createRunLog, openRunLog, type RunLog, type StepRecord } from '../../src/persistence/run-log.ts'
import type { Store } from '../../src/persistence/store.ts'

/** A snapshot names the calls of an agent that settle in the same batch, instead of repeating what they came to. */

const RUN = 'run 1'
const call = (value: unknown, kind = 'tool'): StepRecord => ({
  kind,
  name: 'look',
  status: 'ok',
  attempt: 1,
  startedAt: 1,
  endedAt: 2,
  value,
})
const message = (text: string): object => ({ role: 'tool', content: text.repeat(500), isError: false })

async function deltasOf(store: Store): Promise<readonly Uint8Array[]> {
  const deltas: Uint8Array[] = []
  for await (const [, bytes] of store.entries(deltaRange(RUN))) deltas.push(bytes)
  return deltas
}

async function openRoom() {
  const store = await openMemoryStore()
  const room = () => ({ store, committer: createCommitter(store, { sync: true }), now: () => 1 })
  return {
    store,
    create: () => createRunLog(room(), { id: RUN, kind: 'agent', name: 'test', data: {} }),
    /** What the next process finds. */
    reopen: async (): Promise<RunLog> => (await openRunLog(room(), RUN)) ?? assert.fail('there is no such run'),
  }
}

/** A run whose snapshot names `a` and `b`. */
async function openNamed() {
  const opened = await openRoom()
  const log = opened.create()
  let messages: readonly unknown[] = [message('.')]
  log.follow(() => ({ messages }))
  await log.commit()
  for (const key of ['a', 'b']) {
    const value = message(key)
    log.putStep(key, call(value))
    messages = [...messages, value]
    await log.commit()
  }
  return { ...opened, log, messages: () => messages }
}

describe('a snapshot names what a call of the same batch came to', () => {
  it('and does not repeat it', async () => {
    const { store, messages, reopen } = await openNamed()
    const deltas = await deltasOf(store)
    assert.deepEqual(
      deltas.map(([format]) => format),
      [2, 2],
    )
    for (const { byteLength } of deltas) assert.ok(byteLength < 200, `${byteLength} bytes`)
    assert.deepEqual(await (await reopen()).loadSnapshot(), { messages: messages() })
  })

  it('wherever it stands, also below what the step returned, and twice', async () => {
    const { store, create, reopen } = await openRoom()
    const log = create()
    let state: object = { list: [message('.')] }
    log.follow(() => state)
    await log.commit()
    const answer = { message: message('a'), usage: { tokens: 1 } }
    log.putStep('a', call(answer, 'model'))
    state = { ...state, last: answer.message, list: [message('.'), answer.message], whole: answer }
    await log.commit()
    const [{ byteLength }] = (await deltasOf(store)) as [Uint8Array]
    assert.ok(byteLength < 800, `${byteLength} bytes`) // one message is there anew
    assert.deepEqual(await (await reopen()).loadSnapshot(), state)
  })

  it('but not what a step returned that its caller may change', async () => {
    const { create, reopen } = await openRoom()
    const log = create()
    const value = { content: 'x'.repeat(1_000) }
    let state: object = { padding: 'y'.repeat(1_000) }
    log.follow(() => state)
    await log.commit()
    log.putStep('a', call(value, 'step'))
    value.content = 'changed'
    state = { ...state, value }
    await log.commit()
    assert.deepEqual(await (await reopen()).loadSnapshot(), state)
  })

  for (const [how, change] of [
    ['is changed', (log: RunLog) => log.putStep('a', call(message('c')))],
    ['is removed', (log: RunLog) => log.deleteStep('a')],
  ] as const) {
    it(`is whole after such a call ${how}`, async () => {
      const { log, messages, reopen } = await openNamed()
      change(log)
      await log.commit()
      assert.deepEqual(await (await reopen()).loadSnapshot(), { messages: messages() })
    })

    it(`is whole after such a call ${how} by a process that has not read it`, async () => {
      const { messages, reopen } = await openNamed()
      const next = await reopen()
      await next.loadStep('a')
      change(next)
      await next.commit()
      assert.deepEqual(await (await reopen()).loadSnapshot(), { messages: messages() })
    })
  }

  const damages: readonly (readonly [string, (store: Store) => Promise<void>])[] = [
    ['missing', (store) => store.write([{ type: 'del', key: stepKey(RUN, 'a') }])],
    [
      'damaged',
      async (store) => {
        const bytes = (await store.get(stepKey(RUN, 'a'))) ?? assert.fail('no record')
        await store.write([{ type: 'put', key: stepKey(RUN, 'a'), value: bytes.with(40, (bytes[40] ?? 0) ^ 1) }])
      },
    ],
    [
      'not the one that was named',
      async (store) => {
        const { create, store: other } = await openRoom()
        const log = create()
        log.putStep('a', call(message('z')))
        await log.commit()
        const value = (await other.get(stepKey(RUN, 'a'))) ?? assert.fail('no record')
        await store.write([{ type: 'put', key: stepKey(RUN, 'a'), value }])
      },
    ],
  ]
  for (const [what, damage] of damages) {
    it(`a record of it that is ${what} is noticed`, async () => {
      const { store, reopen } = await openNamed()
      await damage(store)
      const log = await reopen()
      await assert.rejects(log.loadSnapshot(), (error) => {
        assert.ok(isPerdureError(error, 'RUN_CORRUPT'), String(error))
        assert.equal(error.details.run, RUN)
        return true
      })
    })
  }

  it('is what it was after any changes, and any restarts', async () => {
    const change = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd'),
      text: fc.constantFrom('.', 'x', 'y', 'z'),
      kind: fc.constantFrom('model', 'tool', 'step'),
      place: fc.constantFrom('list', 'first', 'second', 'nowhere'),
      next: fc.constantFrom('commit', 'commit', 'restart', 'remove', 'nothing'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 25 }), async (changes) => {
        const { create, reopen } = await openRoom()
        let log = create()
        let state: Record<string, unknown> = { list: [], padding: 'p'.repeat(600) }
        log.follow(() => state)
        for (const { key, text, kind, place, next } of changes) {
          const value = { message: message(text) }
          await log.loadStep(key)
          if (next === 'remove') log.deleteStep(key)
          else log.putStep(key, call(value, kind))
          if (place === 'list') state = { ...state, list: [...(state.list as readonly unknown[]), value.message] }
          else if (place !== 'nowhere') state = { ...state, [place]: value }
          if (next !== 'nothing') await log.commit()
          if (next !== 'restart') continue
          log = await reopen()
          assert.deepEqual(await log.loadSnapshot(), state)
          state = (await log.loadSnapshot()) as Record<string, unknown>
          log.follow(() => state)
        }
        await log.commit()
        assert.deepEqual(await (await reopen()).loadSnapshot(), state)
      }),
      { numRuns: 300 },
    )
  })
})
