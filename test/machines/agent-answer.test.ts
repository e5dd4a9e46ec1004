/** Answers of a form, and agents that are all of one answer. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isPerdureError } from 'perdure'
import { createActor, fromPromise, toPromise } from 'xstate'
import type { CheckInput, ModelInput } from '../../src/machines/agent.ts'
import {
  abort,
  answered,
  assertValidConversation,
  called,
  checked,
  children,
  failure,
  machine,
  modelFailed,
  next,
  play,
  prompt,
  readInput,
  texts,
  toAnswer,
} from '../support/agent-scene.ts'

const output = { name: 'form', schema: { type: 'object' }, maxRepairs: 2 }
const asked = prompt('Hello', { output })
const checkFailed = { type: 'xstate.error.actor.check', actorId: 'check', error: failure }
const retry = { type: 'retry' }

describe('an answer of a form', () => {
  test('is asked for by that form, and checked when it comes', () => {
    const thinking = play([asked])
    assert.deepEqual(readInput<ModelInput>(thinking, 'model').output, output)
    const state = next(thinking, answered('{}'))
    assert.equal(state.value, 'checking')
    assert.deepEqual(readInput<CheckInput>(state, 'check'), { output, text: '{}' })
    assert.equal(next(state, checked()).value, 'ready')
  })

  test('that asks for tools is not one yet', () => {
    const state = play([asked, answered('', 'a')])
    assert.equal(state.value, 'acting')
    assert.equal([called('a'), answered('{}')].reduce(next, state).value, 'checking')
  })

  test('that does not fit is sent back with what is wrong, and the next one is checked', () => {
    const state = play([asked, answered('{'), checked('no JSON')])
    assert.equal(state.value, 'thinking')
    assert.match(texts(state).at(-1) ?? '', /^user: Your answer does not have the form .*\nno JSON\n/)
    assertValidConversation(state.context.messages)
    assert.equal([answered('{}'), checked()].reduce(next, state).value, 'ready')
  })

  test('is sent back as often as may be, then the turn fails and says what was wrong', () => {
    const wrong = [answered('{'), checked('no JSON')]
    const state = play([asked, ...wrong, ...wrong, ...wrong])
    assert.deepEqual([state.value, state.context.error?.code, state.context.step], ['failed', 'OUTPUT_INVALID', 3])
    assert.deepEqual(state.context.error?.details, { turn: 1, issues: 'no JSON' })
    assert.equal(next(state, retry).value, 'thinking', 'a retry asks the model once more')
    const another = [asked, ...wrong].reduce(next, state)
    assert.deepEqual([another.value, another.context.repairs], ['thinking', 1], 'the next turn has all of its repairs')
  })

  test('that may not be sent back at all fails at once', () => {
    const state = play([prompt('Hello', { output: { ...output, maxRepairs: 0 } }), answered('{'), checked('no JSON')])
    assert.equal(state.context.error?.code, 'OUTPUT_INVALID')
  })

  test('is sent back only as far as steps and limits go', () => {
    for (const [limits, code] of [
      [{ maxSteps: 1 }, 'MAX_STEPS'],
      [{ limits: { tokens: 100 } }, 'LIMIT_REACHED'],
    ] as const) {
      const state = play([prompt('Hello', { output, ...limits }), answered('{'), checked('no JSON')])
      assert.deepEqual([state.value, state.context.error?.code], ['failed', code])
    }
  })

  for (const [what, event] of [
    ['that was aborted', abort],
    ['that failed', checkFailed],
  ] as const)
    test(`whose check ${what} is checked by the retry, and not asked for again`, () => {
      const failed = play([asked, answered('{}'), event])
      assert.deepEqual([failed.value, children(failed)], ['failed', []])
      const state = next(failed, retry)
      assert.deepEqual([state.value, children(state)], ['checking', ['check']])
      assert.deepEqual([next(state, checked()).value, state.context.messages.length], ['ready', 2])
    })
})

describe('an agent that was begun with a prompt', () => {
  test('ends with the answer, and with what it used', () => {
    const state = play([answered('', 'a'), called('a'), answered('Hi.')], { prompt: 'Hello' })
    assert.equal(state.status, 'done')
    assert.deepEqual(state.output, { output: 'Hi.', spent: { steps: 2, tokens: 200, costUsd: 2, unpricedCalls: 0 } })
  })

  test('works off the prompts that came meanwhile, and ends with the last answer', () => {
    const state = play([prompt('Two'), answered('1'), answered('2')], { prompt: 'One' })
    assert.deepEqual([state.status, state.output?.output], ['done', '2'])
  })

  test('has the limits that it was given', () => {
    const state = play([answered('', 'a'), called('a')], { prompt: 'Hello', limits: { steps: 1 }, onLimit: 'ask' })
    assert.equal(state.value, 'limited')
  })

  test('goes on from the conversation that it was given', () => {
    const messages = [{ role: 'user', content: 'Hi' } as const, toAnswer('Hello').message]
    const state = play([answered('Fine.')], { prompt: 'How are you?', messages, turn: 1 })
    assert.deepEqual([state.output?.output, state.context.turn, state.context.messages.length], ['Fine.', 2, 4])
  })

  const run = (answers: () => Promise<ReturnType<typeof toAnswer>>) => {
    const slots = { model: fromPromise(answers) } as never // an answer, whatever it is asked
    return createActor(machine.provide({ actors: slots }), { input: { prompt: 'Hello' } })
  }

  test('hands its answer to whoever runs it', async () => {
    const actor = run(async () => toAnswer('Hi.')).start()
    assert.equal((await toPromise(actor)).output, 'Hi.')
  })

  test('fails whoever runs it with the error of its turn', async () => {
    const actor = run(() => Promise.reject(failure))
    const failed = new Promise((_, reject) => actor.subscribe({ error: reject }))
    actor.start()
    await assert.rejects(failed, (error) => isPerdureError(error, 'MODEL_UNAVAILABLE') && error.details.attempts === 3)
    assert.equal(actor.getSnapshot().status, 'error')
  })

  test('that has no prompt waits for one, and does not end', () => {
    assert.equal(play([prompt(), answered('Hi.')]).status, 'active')
    assert.equal(play([prompt(), modelFailed()]).status, 'active')
  })
})
