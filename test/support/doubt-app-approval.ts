/**
 * A program for tests: an agent that pays, when a person has approved it, and asks a person for a day. What it does to the outside is a line of the file `effects`. It
 * kills itself when the questions are asked, when one is answered and that is not on disk, as soon as an answer is on disk, or in the middle of the payment; or it lives
 * to its end. The payment of a session is external; that of an agent's run, which begins as soon as it is approved, idempotent. The order is the JSON of the environment's ORDER; it says what it came to as JSON.
 */
import { appendFileSync, writeSync } from 'node:fs'
import { buildAgent, isPerdureError, openRuntime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'

export interface ApprovalAppOrder {
  readonly directory: string
  readonly effects: string
  readonly mode: 'session' | 'agent'
  /** Whether the turn is asked for, or there is only an answer to give. */
  readonly runs: boolean
  /** What is answered to the question of each kind, one after the other. */
  readonly answers: readonly (readonly [kind: 'approval' | 'question', value: unknown])[]
  readonly death?: 'asked' | 'answering' | 'answered' | 'paying' | undefined
}

export interface ApprovalAppReport {
  /** What came of each answer: `ok`, or the code of its error. */
  readonly answered: readonly string[]
  readonly pending: readonly string[]
  /** How often the model was asked. */
  readonly modelCalls: number
  readonly output: string | undefined
}

const { directory, effects, mode, runs, answers, death } = JSON.parse(process.env.ORDER ?? '') as ApprovalAppOrder // written by the test
const die = (): void => void process.kill(process.pid, 'SIGKILL')

const pay = tool({
  name: 'pay',
  description: 'Pays',
  input: z.object({ to: z.string(), euros: z.number().max(100) }),
  approval: true,
  effect: mode === 'agent' ? 'idempotent' : 'external',
  run({ to, euros }, { attempt }) {
    appendFileSync(effects, `${euros} to ${to}, attempt ${attempt}\n`)
    if (death === 'paying') die()
    return `paid ${euros} to ${to}`
  },
})
const model = scriptedModel(({ messages }) => {
  const results = messages.filter(({ role }) => role === 'tool')
  if (results.length > 0) return results.map(({ content }) => content).join(' | ')
  return {
    toolCalls: [
      { name: 'pay', arguments: { to: 'Ada', euros: 50 }, id: 'pay_1' },
      { name: 'askHuman', arguments: { question: 'When?' }, id: 'ask_1' },
    ],
  }
})
const agent = buildAgent(
  { name: 'payer', systemPrompt: '', model: 'scripted', allowedTools: ['pay', 'askHuman'] },
  { model, tools: [pay], askHuman: { answer: z.enum(['Monday', 'Friday']) } },
)

let asked = 0
await using runtime = await openRuntime({
  directory,
  machines: [agent.machine],
  autoResume: false,
  log: 'silent',
  onEvent({ type }) {
    if (type === 'question.asked' && ++asked === 2 && death === 'asked') die()
    if (type === 'question.answered' && death === 'answering') die()
  },
})

const session = runtime.durable(agent).session('one')
const runId = mode === 'session' ? session.runId : 'agent'
async function start(): Promise<string | undefined> {
  if (!runs) return undefined
  if (mode === 'session') return (await session.run('Pay Ada.')).output
  const run = await runtime.start(agent.machine, { id: runId, input: { prompt: 'Pay Ada.' } })
  return (await run.done())?.output
}
const turn = start()

const readPending = async () => {
  const pending: { readonly id: string; readonly kind: string }[] = []
  for await (const { id, kind } of runtime.pending()) pending.push({ id, kind })
  return pending
}
const answered: string[] = []
for (const [kind, value] of answers) {
  const question = (await readPending()).find((one) => one.kind === kind)
  if (question === undefined) throw new Error(`there is no ${kind}`)
  const code = await runtime
    .get(runId)
    .answer(question.id, value)
    .then(
      () => 'ok',
      (error: unknown) => (isPerdureError(error) ? error.code : String(error)),
    )
  if (death === 'answered') die()
  answered.push(code)
}
const output = await turn
const report: ApprovalAppReport = {
  answered,
  output,
  modelCalls: model.calls,
  pending: (await readPending()).map(({ kind }) => kind),
}
writeSync(1, JSON.stringify(report))
