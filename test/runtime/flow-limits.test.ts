import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Limits } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { createRuntimeRoom, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

describe('the limits of a flow', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** A flow of two agents, one turn each; an answer is 10 tokens and a dollar. */
  const open = async (directory: string) => {
    const runtime = await room.open(directory)
    const usage = { inputTokens: 8, outputTokens: 2, cachedInputTokens: 0, reasoningTokens: 0 }
    const model = scriptedModel(() => ({ text: 'done', usage, costUsd: 1 }))
    const [first, second] = ['first', 'second'].map((name) => runtime.durable(testAgent(model, { name })))
    const flow = runtime.flow('flow', async () => [(await first?.run('go'))?.output, (await second?.run('go'))?.output])
    return {
      runtime,
      model,
      run: (limits?: Limits) => flow.run(undefined, { id: 'run', ...(limits === undefined ? {} : { limits }) }),
    }
  }

  for (const [name, limits] of [
    ['steps', { steps: 1 }],
    ['tokens', { tokens: 10 }],
    ['costUsd', { costUsd: 1 }],
  ] as const) {
    test(`hold for all of its agents together, over restarts (${name})`, async () => {
      const directory = room.room.path()
      const one = await open(directory)
      await assert.rejects(one.run(limits), { code: 'LIMIT_REACHED' })
      assert.equal(one.model.calls, 1)
      await one.runtime.close()

      const two = await open(directory)
      await assert.rejects(two.run(limits), { code: 'LIMIT_REACHED' })
      assert.equal(two.model.calls, 0)
      assert.deepEqual(await two.run({ steps: 5, tokens: 100, costUsd: 5 }), ['done', 'done'])
      assert.equal(two.model.calls, 1)
      await two.runtime.close()
    })
  }

  test('refuse what is none', async () => {
    const { run } = await open(room.room.path())
    await assert.rejects(run({ tokens: -1 }), TypeError)
    await assert.rejects(run({ tokenz: 1 } as unknown as Limits), /tokens/)
  })
})
