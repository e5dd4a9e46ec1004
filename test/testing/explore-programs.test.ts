/** Programs that are right come to the same after any death (P1, P2, P3, P5, P8), and the explorer says so. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buildAgent, type ModelRequest, tool } from 'perdure'
import { type CrashReport, type CrashSubject, exploreCrashes } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { nothing, toCounts } from '../support/explore-found.ts'

async function assertNothingFound(subject: CrashSubject): Promise<CrashReport> {
  const report = await exploreCrashes(subject, { pairs: 30, triples: 10 })
  assert.deepEqual(toCounts(report), nothing)
  assert.ok(report.scenarios > 40)
  return report
}

const resultsOf = ({ messages }: ModelRequest): string[] =>
  messages.filter(({ role }) => role === 'tool').map(({ content }) => content)

/** Asks for these calls once, then says what they came to. */
const callsOnce =
  (name: string, ...texts: readonly string[]) =>
  (request: ModelRequest) => {
    const results = resultsOf(request)
    return results.length > 0 ? results.join(', ') : { toolCalls: texts.map((text) => ({ name, arguments: { text } })) }
  }

const toAgent = (life: Parameters<CrashSubject>[0], more: object, ...texts: readonly string[]) => {
  const send = tool({
    name: 'send',
    description: 'Sends a letter',
    input: z.object({ text: z.string() }),
    effect: 'idempotent',
    run: ({ text }, { key }) => life.outside.effect(`letter ${text}`, key).then(() => `sent ${text}`),
    ...more,
  })
  return buildAgent(
    { name: 'clerk', model: 'm', systemPrompt: '', allowedTools: ['send'] },
    { model: life.outside.model(callsOnce('send', ...texts)), tools: [send] },
  )
}

describe('exploreCrashes finds nothing wrong with', () => {
  test('an agent that executes tools beside each other', async () => {
    await assertNothingFound(async (life) => {
      const runtime = await life.open()
      return (await runtime.durable(toAgent(life, {}, 'a', 'b', 'c', 'd', 'e')).run('Write.')).output
    })
  })

  test('an agent whose turn is one checkpoint', async () => {
    const { inDoubt } = await assertNothingFound(async (life) => {
      const runtime = await life.open()
      const agent = runtime.durable(toAgent(life, {}, 'a', 'b'), { checkpoint: 'turn' })
      return (await agent.run('Note.')).output
    })
    assert.ok(inDoubt > 0)
  })

  test('an agent that waits for a person', async () => {
    await assertNothingFound(async (life) => {
      const runtime = await life.open()
      const agent = runtime.durable(toAgent(life, { approval: true }, 'a'))
      const look = async (): Promise<void> => {
        for await (const { runId, id } of runtime.pending()) {
          await life.outside.once(id, () => runtime.get(runId).answer(id, true))
        }
      }
      runtime.subscribe(({ type }) => void (type === 'question.asked' && look()))
      await look() // what an earlier life was asked
      return (await agent.run('Write.')).output
    })
  })

  test('an agent whose tool is reported as in doubt, and executed once', async () => {
    const { reported, divergedStates } = await assertNothingFound(async (life) => {
      const runtime = await life.open()
      const run = ({ text }: { readonly text: string }) => life.outside.effect(`letter ${text}`).then(() => `sent ${text}`)
      return (await runtime.durable(toAgent(life, { effect: 'external', run }, 'a')).run('Write.')).output
    })
    assert.ok(reported > 0)
    assert.equal(divergedStates, 0)
  })

  test('a machine with deadlines that is sent events, each until it is acknowledged', async () => {
    await assertNothingFound(async (life) => {
      const till = setup({
        types: { context: {} as { readonly coins: readonly number[] }, events: {} as { type: 'coin'; value: number } },
      }).createMachine({
        id: 'till',
        context: { coins: [] },
        initial: 'open',
        states: {
          open: {
            on: { coin: { actions: assign({ coins: ({ context, event }) => [...context.coins, event.value] }) } },
            always: { guard: ({ context }) => context.coins.length === 3, target: 'counting' },
          },
          counting: { after: { 60000: 'closed' } },
          closed: { type: 'final' },
        },
        output: ({ context }) => context.coins,
      })
      const runtime = await life.open({ machines: [till] })
      const run = await runtime.start(till, { id: 'till' })
      for (const value of [1, 2, 3])
        await life.outside.once(`coin ${value}`, () => run.send({ type: 'coin', value }, { id: `coin ${value}` }))
      return await run.done()
    })
  })
})
