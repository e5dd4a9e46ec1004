import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { ToolInput } from '../../src/machines/agent.ts'
import {
  abort,
  answered,
  assertValidConversation,
  called,
  callFailed,
  children,
  decided,
  interrupt,
  next,
  play,
  prompt,
  readInput,
  steer,
  texts,
} from '../support/agent-scene.ts'

const approved = (id: string, text = '{}') => decided(id, { approved: true, arguments: text })
const denied = (id: string) => decided(id, { approved: false, reason: 'too much' })
const retry = { type: 'retry' }

describe('approvals', () => {
  const asked = [prompt(), answered('', 'ok-a', 'b')]

  for (const [title, approvedText, isEdited] of [
    ['as the model wrote them are executed as they are', '{}', undefined],
    ['that a person changed are executed so, and say it', '{"x":1}', true],
  ] as const)
    test(`arguments ${title}`, () => {
      const state = play([...asked, approved('ok-a', approvedText)])
      const { key, call } = readInput<ToolInput>(state, 'call.ok-a')
      assert.deepEqual([call.arguments, call.isEdited], [approvedText, isEdited])
      assert.equal(key, 'call/000001/m001/ok-a', 'the call keeps its name')
    })

  test('of several calls are asked at once, and each decides of its own', () => {
    const state = play([prompt(), answered('', 'ok-a', 'ok-b', 'ok-c'), denied('ok-b'), approved('ok-c')])
    assert.deepEqual(children(state), ['approval.ok-a', 'call.ok-c'])
    const settled = [called('ok-c'), approved('ok-a'), called('ok-a')].reduce(next, state)
    assert.equal(settled.value, 'thinking')
    assert.match(
      texts(settled).slice(2).join('|'),
      /^tool: result of ok-a\|tool: A person denied .*too much\|tool: result of ok-c$/,
    )
  })

  test('a call that was denied when all others had settled ends acting', () => {
    const state = play([...asked, called('b'), denied('ok-a')])
    assert.equal(state.value, 'thinking')
    assertValidConversation(state.context.messages)
  })

  test('waiting for a person takes no place of a call that may run', () => {
    const state = play([prompt('Hello', { maxParallel: 1 }), answered('', 'ok-a', 'b', 'c')])
    assert.deepEqual(children(state), ['approval.ok-a', 'call.b'])
    const waiting = next(state, approved('ok-a'))
    assert.deepEqual(children(waiting), ['call.b'], 'an approved call waits for a place')
    assert.deepEqual(children(next(waiting, called('b'))), ['call.ok-a'])
  })

  test('what was approved and what was denied is not asked again by a retry', () => {
    const failed = play([
      prompt(),
      answered('', 'ok-a', 'ok-b', 'c'),
      approved('ok-a', '{"x":1}'),
      denied('ok-b'),
      callFailed('c'),
    ])
    assert.deepEqual([failed.value, children(failed)], ['failed', []])
    const again = next(failed, retry)
    assert.deepEqual(children(again), ['call.c', 'call.ok-a'])
    assert.equal(readInput<ToolInput>(again, 'call.ok-a').call.arguments, '{"x":1}')
  })

  test('an approval is of this answer: the same id in the next one is asked about anew', () => {
    const state = play([...asked, called('b'), approved('ok-a'), called('ok-a'), answered('', 'ok-a')])
    assert.deepEqual(children(state), ['approval.ok-a'])
  })

  test('an approval ends with its turn, also with one that failed', () => {
    const failed = play([...asked, approved('ok-a'), callFailed('b')])
    assert.deepEqual(children([prompt('Next'), answered('', 'ok-a')].reduce(next, failed)), ['approval.ok-a'])
    const interrupted = play([...asked, approved('ok-a'), interrupt('Stop'), answered('', 'ok-a')])
    assert.deepEqual(children(interrupted), ['approval.ok-a'])
  })

  test('a question that was not answered is asked again by a retry', () => {
    const state = next(play([...asked, abort]), retry)
    assert.deepEqual(children(state), ['approval.ok-a', 'call.b'])
    assert.equal(readInput<ToolInput>(state, 'approval.ok-a').isAgain, true)
  })

  test('an interrupt withdraws the question, and the model is told of the call', () => {
    const state = play([...asked, called('b'), interrupt('Not that')])
    assert.deepEqual([state.value, children(state)], ['thinking', ['model']])
    assert.match(texts(state).join('|'), /tool: This call was interrupted.*\|tool: result of b\|user: Not that$/)
  })

  test('a message that steers waits with the call for the person', () => {
    const state = play([...asked, steer('left'), called('b')])
    assert.deepEqual([state.value, children(state)], ['acting', ['approval.ok-a']])
    assert.equal(texts([denied('ok-a')].reduce(next, state)).at(-1), 'user: left')
  })

  test('an id may be any text, also one that every object has', () => {
    const ids = ['constructor', '__proto__', 'toString', '']
    let state = play([prompt('Hello', { maxParallel: 2 }), answered('', ...ids)])
    const { call } = readInput<ToolInput>(state, 'call.constructor')
    assert.deepEqual([call.arguments, call.isEdited], ['{}', undefined])
    const first = state.children
    state = next(state, called('constructor'))
    assert.equal(
      Object.getOwnPropertyDescriptor(state.children, 'call.__proto__')?.value,
      Object.getOwnPropertyDescriptor(first, 'call.__proto__')?.value,
      'what runs is not begun again',
    )
    for (const id of ['__proto__', 'toString', '']) state = next(state, called(id))
    assert.equal(state.value, 'thinking')
    assertValidConversation(state.context.messages)
  })
})

describe('calls of one answer', () => {
  test('never run more at once than may, all settle, and are told in the order of the answer', () => {
    const ids = fc.uniqueArray(
      fc.string({ maxLength: 3 }).map((text) => text || 'x'),
      { minLength: 1, maxLength: 8 },
    )
    fc.assert(
      fc.property(ids, fc.integer({ min: 1, max: 9 }), fc.infiniteStream(fc.nat()), (all, maxParallel, choices) => {
        let state = play([prompt('Hello', { maxParallel }), answered('', ...all)])
        const order: string[] = []
        while (state.value === 'acting') {
          const running = children(state)
          assert.equal(running.length, Math.min(maxParallel, all.length - order.length))
          const chosen = running[choices.next().value % running.length]
          assert.ok(chosen !== undefined)
          const id = chosen.slice(chosen.indexOf('.') + 1)
          assert.ok(!order.includes(id), 'none settles twice')
          order.push(id)
          state = next(state, called(id))
        }
        assert.deepEqual(order.toSorted(), all.toSorted())
        assert.deepEqual(
          texts(state).slice(2),
          all.map((id) => `tool: result of ${id}`),
        )
      }),
    )
  })

  test('one that fails by its result does not end the others', () => {
    const failed = { ...called('a'), output: { role: 'tool', callId: 'a', name: 'note', content: 'no', isError: true } }
    assert.deepEqual(children(play([prompt(), answered('', 'a', 'b'), failed])), ['call.b'])
  })
})
