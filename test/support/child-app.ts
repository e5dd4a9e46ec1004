/**
 * A program for tests: a turn of `boss`, who asks `lead`, who asks `worker`, who writes a line to a file: three agents whose models are the server of argv[3]. With a moment as
 * argv[5] it kills itself then; else it lives to its end, and says what came of it. argv[2] is the directory of the store, argv[4] the file, argv[6] what the turn belongs to.
 */
import { appendFileSync, writeSync } from 'node:fs'
import { type Agent, buildAgent, openRuntime, type RuntimeEvent, type Tool, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import type { ChildAppReport, ChildMoment } from './child-app-moments.ts'

const [, , directory = '', baseUrl = '', file = '', given, owner] = process.argv
const moment = given as ChildMoment | undefined // the test gives no other
const die = (): void => void process.kill(process.pid, 'SIGKILL')

/** How deep the agent of a run is: 0 for `boss`. */
const depthOf = (runId: string): number => runId.split('/').filter((part) => /^(lead|worker)\./.test(part)).length

/** Batches reach the disk in order: when a later turn is there, what came before it is. */
async function dieWhenDurable(): Promise<void> {
  const other = buildAgent({ name: 'other', systemPrompt: '', model: 'scripted' }, { model: scriptedModel(['pong']) })
  await runtime.durable(other).session('other').run('ping')
  die()
}

const finished: ChildAppReport['finished'][number][] = []
let doubts: ChildAppReport['doubts'] = []
function onEvent(event: RuntimeEvent): void {
  if (!('checkpoint' in event) || event.checkpoint.startsWith('other')) return
  const depth = depthOf(event.runId)
  if (event.type === 'checkpoint.finished') {
    finished.push([event.runId.replace(/\.[\w-]{16}/g, ''), event.spent.modelCalls, event.reused.modelCalls])
    if (depth === 0) doubts = (event.doubts ?? []).map(({ kind, name, resolution }) => `${kind} ${name} ${resolution}`)
    if (moment === 'when the grandchild has ended' && depth === 2) die()
    if (moment === 'when the child has ended' && depth === 1) die()
  }
  const isSecond = event.type === 'call.started' && event.kind === 'model' && event.key.endsWith('/m002')
  if (moment === 'in the model call of the grandchild' && isSecond && depth === 2) void dieWhenDurable()
  if (moment === 'in the model call of the child' && isSecond && depth === 1) void dieWhenDurable()
  if (moment === 'when the parent has the answer' && isSecond && depth === 0) void dieWhenDurable()
}

const write = tool({
  name: 'write',
  description: 'Writes a line',
  effect: 'idempotent',
  input: z.object({ line: z.string() }),
  run({ line }, { key }) {
    appendFileSync(file, `${JSON.stringify({ line, key })}\n`)
    if (moment === 'in the tool of the grandchild') die()
    return `wrote ${line}`
  },
})
const build = (name: string, own: Tool): Agent =>
  buildAgent({ name, systemPrompt: `You are ${name}.`, model: 'gpt-5-mini', allowedTools: [own.name] }, { baseUrl, tools: [own] })
const worker = build('worker', write)
const lead = build('lead', worker.asTool({ description: 'Writes lines' }))
const boss = build('boss', lead.asTool({ description: 'Has lines written' }))

const machine = setup({
  types: { context: {} as { readonly said: string }, output: {} as string },
  actors: { boss: boss.machine },
}).createMachine({
  id: 'office',
  context: { said: '' },
  initial: 'working',
  states: {
    working: {
      invoke: {
        id: 'boss',
        src: 'boss',
        input: { prompt: 'Write it.' },
        onDone: { target: 'done', actions: assign({ said: ({ event }) => event.output.output }) },
      },
    },
    done: { type: 'final' },
  },
  output: ({ context }) => context.said,
})
await using runtime = await openRuntime({ directory, machines: [machine], log: 'silent', autoResume: false, onEvent })
let said: string
let spent: ChildAppReport['spent']
if (owner === 'machine') {
  const run = await runtime.start(machine, { id: 'office' })
  said = (await run.done()) ?? ''
  const { modelCalls, toolCalls } = await run.spend()
  spent = { modelCalls, toolCalls }
} else {
  const { output, spend } = await runtime.durable(boss).session('s').run('Write it.')
  said = output
  spent = { modelCalls: spend.modelCalls, toolCalls: spend.toolCalls }
}
const report: ChildAppReport = { said, spent, finished, doubts }
writeSync(1, JSON.stringify(report))
