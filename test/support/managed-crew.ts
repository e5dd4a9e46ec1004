/** An app to manage: machines that wait, are done and have failed; a conversation that waits for an approval; a flow with a conversation and a step. */

import { buildAgent, isPerdureError, openRuntime, type Runtime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { type AnyStateMachine, assign, setup } from 'xstate'
import { z } from 'zod'

/** It opens so often. */
export const toDoor = (times = Number.POSITIVE_INFINITY) =>
  setup({
    types: {
      context: {} as { opened: number; note: string },
      events: {} as { type: 'open' } | { type: 'close' } | { type: 'break' },
    },
  }).createMachine({
    id: 'door',
    version: '1',
    context: { opened: 0, note: 'front' },
    initial: 'closed',
    states: {
      closed: {
        on: {
          open: {
            guard: ({ context }) => context.opened < times,
            target: 'open',
            actions: assign({ opened: ({ context }) => context.opened + 1 }),
          },
        },
      },
      open: {
        on: {
          close: 'shut',
          break: {
            actions: () => {
              throw new Error('The hinge broke')
            },
          },
        },
        after: { 3600000: 'closed' },
      },
      shut: { type: 'final' },
    },
    output: ({ context }) => ({ opened: context.opened }),
  })

const door = toDoor()
export const machines: readonly AnyStateMachine[] = [door]

const deploy = tool({
  name: 'deploy',
  description: 'Deploys',
  effect: 'idempotent',
  input: z.object({ to: z.string() }),
  approval: true,
  run: ({ to }) => `deployed to ${to}`,
})
const note = tool({
  name: 'note',
  description: 'Notes',
  effect: 'idempotent',
  input: z.object({ text: z.string() }),
  run: ({ text }) => `noted ${text}`,
})

/** `note x` notes x, `deploy x` deploys to x; anything else is answered. */
const model = scriptedModel(({ messages }) => {
  const last = messages.at(-1)
  if (last?.role !== 'user') return `Done: ${last?.content}`
  const [verb = '', what = ''] = last.content.split(' ')
  if (verb === 'note') return { toolCalls: [{ name: 'note', arguments: { text: what } }] }
  return verb === 'deploy' ? { toolCalls: [{ name: 'deploy', arguments: { to: what } }] } : `Hello, ${last.content}`
})

export const toHelper = (systemPrompt = 'Help.') =>
  buildAgent(
    { name: 'helper', systemPrompt, model: 'test-model', allowedTools: ['deploy', 'note'] },
    { model, tools: [deploy, note] },
  )

const report = (runtime: Runtime) => {
  const helper = runtime.durable(toHelper())
  return runtime.flow('report', async (topic: string, { step }) => {
    const { output } = await helper.run(`note ${topic}`)
    return step('print', () => output.toUpperCase())
  })
}

/** For replays: the model is not asked. */
export const agents = [toHelper()]
export const flows = { report }

export const openCrew = async (directory: string): Promise<Runtime> =>
  openRuntime({ directory, machines, log: 'silent', durability: 'process' })

/** Leaves: `door/ajar` open, `door/shut` completed, `door/broken` failed, `helper/ann` asking for an approval, `report/1` completed. */
export async function runCrew(runtime: Runtime): Promise<{ readonly waiting: Promise<unknown> }> {
  const started = await Promise.all(['ajar', 'shut', 'broken'].map((name) => runtime.start(door, { id: `door/${name}` })))
  for (const run of started) await run.send({ type: 'open' })
  await runtime.get('door/shut').send({ type: 'close' })
  await runtime
    .get('door/broken')
    .send({ type: 'break' })
    .catch(() => {})
  await report(runtime).run('rain', { id: 'report/1' })
  const session = runtime.durable(toHelper()).session('ann')
  await session.run('note milk')
  const waiting = session.run('deploy prod').catch((error: unknown) => {
    if (!isPerdureError(error, 'STORE_CLOSED') && !isPerdureError(error, 'ABORTED')) throw error
  })
  const isAsked = async (): Promise<boolean> => {
    for await (const _ of runtime.pending()) return true
    return false
  }
  while (!(await isAsked())) await new Promise((resolve) => setImmediate(resolve))
  return { waiting }
}
