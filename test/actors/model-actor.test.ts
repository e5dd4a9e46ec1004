import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildAgent, isPerdureError, type Model } from 'perdure'

const profile = { name: 'default', systemPrompt: '', model: 'mine' }
const message = { role: 'assistant', content: 'Hello', toolCalls: [] } as const

/** An agent on a model function that resolves with whatever it is given, as one without types could. */
const agentOn = (answer: unknown) => buildAgent(profile, { model: (async () => answer) as unknown as Model })

test('a model function needs to say no more than its message and its name', async () => {
  const { output, spend } = await agentOn({ message, model: 'mine' }).run('Hi')
  assert.equal(output, 'Hello')
  assert.equal(spend.unpricedCalls, 1)
})

for (const [what, answer] of Object.entries({
  nothing: undefined,
  'a text': 'Hello',
  'no message': { model: 'mine' },
  'a message without tool calls': { message: { role: 'assistant', content: '' }, model: 'mine' },
  'one id for two calls': {
    message: { ...message, toolCalls: [1, 2].map(() => ({ id: 'a', name: 'exec', arguments: '{}' })) },
    model: 'mine',
  },
  'a cost below zero': { message, model: 'mine', costUsd: -1 },
}))
  test(`a model function that resolves with ${what} is a bad answer`, async () => {
    await assert.rejects(
      agentOn(answer).run('Hi'),
      (error) => isPerdureError(error, 'MODEL_BAD_ANSWER') && /`mine`/.test(error.message),
    )
  })

test('a model function that throws fails the call with its message', async () => {
  const agent = buildAgent(profile, { model: () => Promise.reject(new RangeError('out of luck')) })
  await assert.rejects(agent.run('Hi'), (error) => isPerdureError(error, 'CALL_FAILED') && error.message === 'out of luck')
})
