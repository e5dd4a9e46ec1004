import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ModelInput } from '../../src/machines/agent.ts'
import {
  abort,
  answered,
  assertValidConversation,
  called,
  callFailed,
  checked,
  children,
  decidedLimit,
  interrupt,
  modelFailed,
  next,
  play,
  prompt,
  readInput,
  steer,
  texts,
} from '../support/agent-scene.ts'

const retry = { type: 'retry' }
const output = { name: 'form', schema: {}, maxRepairs: 1 }
const limited = prompt('Hello', { limits: { tokens: 100 }, onLimit: 'ask' })

const situations = {
  ready: [],
  'ready again': [prompt(), answered('Hi.')],
  thinking: [prompt()],
  acting: [prompt(), answered('', 'a', 'b'), called('b')],
  'acting, while a person decides': [prompt(), answered('', 'ok-a')],
  checking: [prompt('Hello', { output }), answered('Hi.')],
  limited: [limited, answered('', 'a'), called('a')],
  'failed in thinking': [prompt(), modelFailed()],
  'failed in acting': [prompt(), answered('', 'a', 'b'), called('b'), callFailed('a')],
} as const

type Situation = keyof typeof situations
const names = Object.keys(situations) as Situation[] // its own keys

describe('a message that steers', () => {
  const table: Record<Situation, { state: string; turn: number }> = {
    ready: { state: 'thinking', turn: 1 },
    'ready again': { state: 'thinking', turn: 2 },
    thinking: { state: 'thinking', turn: 1 },
    acting: { state: 'acting', turn: 1 },
    'acting, while a person decides': { state: 'acting', turn: 1 },
    checking: { state: 'thinking', turn: 1 },
    limited: { state: 'limited', turn: 1 },
    'failed in thinking': { state: 'thinking', turn: 2 },
    'failed in acting': { state: 'thinking', turn: 2 },
  }
  for (const name of names)
    test(`when it is ${name}: ${table[name].state} in turn ${table[name].turn}`, () => {
      const before = play(situations[name])
      const state = next(before, steer('left'))
      assert.deepEqual([state.value, state.context.turn], [table[name].state, table[name].turn])
      const joined = texts(state).filter((text) => text === 'user: left').length
      assert.equal(joined + (state.context.steering?.length ?? 0), 1, 'it is there once')
      if (state.value === before.value) assert.deepEqual(children(state), children(before), 'nothing that is under way ends')
    })

  test('several join in their order, after the results', () => {
    const state = play([...situations.acting, steer('one'), steer('two'), called('a')])
    assert.deepEqual(texts(state).slice(-4), ['tool: result of a', 'tool: result of b', 'user: one', 'user: two'])
    assertValidConversation(state.context.messages)
  })

  test('joins by the retry of a turn that failed', () => {
    const state = play([prompt(), steer('left'), modelFailed(), retry])
    assert.deepEqual(texts(state), ['user: Hello', 'user: left'])
    const acting = play([...situations.acting, steer('left'), abort, retry, called('a')])
    assert.equal(texts(acting).at(-1), 'user: left')
  })

  test('that did not come to join comes before the prompt of the next turn, as it was said', () => {
    const state = play([...situations.acting, steer('left'), abort, prompt('Next')])
    assert.deepEqual(texts(state).slice(-2), ['user: left', 'user: Next'])
    assert.equal(state.context.turnStart, 5, 'it is not of the turn')
    assert.equal(state.context.steering?.length, 0)
    assertValidConversation(state.context.messages)
  })

  test('takes a step of the turn like any other request', () => {
    const state = play([prompt('Hello', { maxSteps: 1 }), steer('left'), answered('Hi.')])
    assert.deepEqual([state.value, state.context.error?.code], ['failed', 'MAX_STEPS'])
    assert.equal(texts(next(state, { type: 'retry', maxSteps: 2 } as typeof retry)).at(-1), 'user: left')
  })
})

describe('an interrupt', () => {
  for (const name of names)
    test(`when it is ${name} is what the model hears next`, () => {
      let state = next(play(situations[name]), interrupt('Stop'))
      if (name === 'limited') state = next(state, decidedLimit({ extend: { tokens: 100 } }))
      assert.deepEqual([state.value, children(state)], ['thinking', ['model']])
      assert.equal(texts(state).at(-1), 'user: Stop')
      assertValidConversation(state.context.messages)
    })

  test('names the next request anew: the one that it ended is not taken up', () => {
    const first = play([prompt()])
    const second = next(first, interrupt('Stop'))
    assert.equal(readInput<ModelInput>(first, 'model').key, 'call/000001/m001')
    assert.equal(readInput<ModelInput>(second, 'model').key, 'call/000001/m002')
  })

  test('comes after what had steered before it, and a second one after the first', () => {
    const state = play([...situations.acting, steer('left'), interrupt('Stop'), interrupt('No, go')])
    assert.deepEqual(texts(state).slice(-3), ['user: left', 'user: Stop', 'user: No, go'])
    assert.deepEqual(children(state), ['model'])
  })

  test('at a limit tells the model of the calls that were under way, and they are not begun again', () => {
    const up = { type: 'limit.time', scope: 'turn', max: 5 }
    const limit = prompt('Hello', { limits: { wallTimeMs: 5 }, onLimit: 'ask' })
    const state = play([
      limit,
      answered('', 'a', 'b'),
      called('a'),
      up,
      interrupt('Stop'),
      decidedLimit({ extend: { wallTimeMs: 5 } }),
    ])
    assert.deepEqual([state.value, children(state)], ['thinking', ['model']])
    assert.match(texts(state).join('|'), /tool: result of a\|tool: This call was interrupted.*\|user: Stop$/)
  })
})

describe('a queue', () => {
  test('of several prompts is worked off in order, each with what it was given', () => {
    const two = prompt('Two', { key: 'second', maxSteps: 7, limits: { tokens: 5_000 } })
    let state = play([prompt('One'), two, prompt('Three'), answered('1')])
    assert.deepEqual([state.value, state.context.turn, state.context.turnKey], ['thinking', 2, 'second'])
    assert.deepEqual([state.context.maxSteps, state.context.limits?.tokens], [7, 5_000])
    assert.equal(readInput<ModelInput>(state, 'model').key, 'call/second/m001')
    state = [answered('2'), answered('3')].reduce(next, state)
    assert.deepEqual([state.value, state.context.turn, state.context.queue], ['ready', 3, []])
    assert.deepEqual(
      texts(state).filter((text) => text.startsWith('user')),
      ['user: One', 'user: Two', 'user: Three'],
    )
  })

  for (const name of ['thinking', 'acting', 'checking', 'limited'] as const)
    test(`takes a prompt when it is ${name}, and nothing that is under way ends`, () => {
      const before = play(situations[name])
      const state = next(before, prompt('Two'))
      assert.deepEqual([state.value, children(state), texts(state)], [before.value, children(before), texts(before)])
      assert.deepEqual(
        state.context.queue?.map(({ text }) => text),
        ['Two'],
      )
    })

  test('waits when its turn fails, and goes on when that was tried again', () => {
    const failed = play([prompt('One'), prompt('Two'), prompt('Three'), modelFailed()])
    assert.deepEqual([failed.value, failed.context.queue?.length], ['failed', 2])
    const state = [retry, answered('1'), answered('2')].reduce(next, failed)
    assert.deepEqual([state.value, state.context.turn, texts(state).at(-1)], ['thinking', 3, 'user: Three'])
  })

  test('goes on after a turn that was begun instead of the one that failed', () => {
    const state = play([prompt('One'), prompt('Two'), modelFailed(), prompt('Instead'), answered('1')])
    assert.deepEqual(
      texts(state).filter((text) => text.startsWith('user')),
      ['user: One', 'user: Instead', 'user: Two'],
    )
  })

  test('begins when the form of the answer before it was checked', () => {
    const state = play([...situations.checking, prompt('Two')])
    assert.equal(state.value, 'checking')
    const begun = next(state, checked())
    assert.deepEqual([begun.value, begun.context.turn, begun.context.output], ['thinking', 2, undefined])
  })
})
