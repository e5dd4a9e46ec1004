/** A program that forks a conversation, goes on with it and deletes the origin comes to the same after any death (P1, P2, P5). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildAgent, isPerdureError, tool } from 'perdure'
import { type CrashSubject, exploreCrashes } from 'perdure/testing'
import { z } from 'zod'
import { nothing, toCounts } from '../support/explore-found.ts'

/** Has a prompt written once, and says all prompts and results so far. */
const toClerk = ({ outside }: Parameters<CrashSubject>[0]) => {
  const write = tool({
    name: 'write',
    description: 'Writes a letter',
    input: z.object({ text: z.string() }),
    effect: 'idempotent',
    run: ({ text }, { key }) => outside.effect(`letter ${text}`, key).then(() => `wrote ${text} ${'.'.repeat(600)}`),
  })
  const model = outside.model(({ messages }) => {
    const last = messages.at(-1)
    if (last?.role === 'user') return { toolCalls: [{ name: 'write', arguments: { text: last.content } }] }
    return messages.flatMap(({ role, content }) => (role === 'assistant' ? [] : [`${content}`.replace(/\.+$/, '')])).join(', ')
  })
  return buildAgent({ name: 'clerk', model: 'm', systemPrompt: '', allowedTools: ['write'] }, { model, tools: [write] })
}

test('exploreCrashes finds nothing wrong with a fork, and with the deletion of its origin', async () => {
  const report = await exploreCrashes(
    async (life) => {
      const runtime = await life.open({ passivate: { afterMs: 0 } })
      const agent = runtime.durable(toClerk(life))
      const { once } = life.outside
      await once('origin', async () => {
        for (const prompt of ['one', 'two']) await agent.session('main').run(prompt)
      })
      const fork = (id: string, options: object) =>
        runtime.fork('clerk/main', { at: { turn: 2 }, id, ...options }).catch((error: unknown) => {
          if (!isPerdureError(error, 'RUN_CONFLICT')) throw error // an earlier life did it
        })
      await once('forks', async () => {
        await fork('clerk/prompt', { prompt: 'other' })
        await fork('clerk/call', { at: { turn: 2, call: 'm2' } })
      })
      const outputs = [(await agent.session('prompt').run('other')).output]
      await once('deleted', async () => {
        while (await runtime.delete('clerk/main').catch(() => true)) await new Promise(setImmediate) // it is about to leave memory
      })
      outputs.push((await agent.session('call').run('two')).output, (await agent.session('prompt').run('third')).output)
      return outputs
    },
    { pairs: 40, triples: 10 },
  )
  assert.deepEqual(toCounts(report), nothing)
  assert.ok(report.writes > 15, `${report.writes} writes`)
})
