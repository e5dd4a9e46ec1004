/**
 * `node --conditions=perdure/source scripts/make-corpus.ts <number>`: writes the stores of `test/corpus/<number>`, which must not be there yet. A
 * folder of the corpus is never written again: a new format gets a new number.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isPerdureError, openRuntime, type Runtime, type RuntimeOptions } from 'perdure'
import { testClock } from 'perdure/testing'
import { createCorpusAgent, createCorpusFlows } from '../test/support/corpus-agents.ts'
import { createInFlightAgents, createWaitingFlow } from '../test/support/corpus-in-flight.ts'
import { type CorpusCode, corpusTime, createCorpusMachines, createParked } from '../test/support/corpus-machines.ts'

const number = process.argv[2] ?? ''
if (!/^[1-9]\d*$/.test(number)) throw new TypeError(`Expected the number of a new folder of the corpus, got \`${number}\``)
const target = fileURLToPath(new URL(`../test/corpus/${number}`, import.meta.url))
await mkdir(target) // fails if it is there

const code: CorpusCode = { hang: true, said: [] }
const until = async (holds: () => unknown): Promise<void> => {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1))
}
const work = await mkdtemp(join(tmpdir(), 'perdure-corpus-'))
const open = (name: string, machines: RuntimeOptions['machines'], autoResume = true): Promise<Runtime> =>
  openRuntime({ directory: join(work, name), machines, autoResume, clock: testClock({ now: corpusTime }), log: 'silent' })

async function writeMachines(): Promise<void> {
  const machines = createCorpusMachines(code)
  const first = await open('machines', [...Object.values(machines), createParked('1')])
  await first.start(machines.keeper, { id: 'keeper' })
  await first.start(machines.sleeper, { id: 'sleeper' })
  await first.start(machines.sender, { id: 'sender' })
  await first.start(machines.receiver, { id: 'receiver' })
  for (const id of ['completed', 'failed', 'cancelled']) await first.start(machines.ender, { id, input: { big: 1n } })
  await first.get<typeof machines.ender>('completed').send({ type: 'end' })
  await first.get<typeof machines.ender>('failed').send({ type: 'fail' })
  await first.get('cancelled').cancel('no longer needed')
  await first.start('parked', { id: 'parked' })
  const list = await first.start(machines.list, { id: 'list/ä b' })
  for (let n = 0; n < 40; n++) await list.send({ type: 'add', item: `item ${n} ${'x'.repeat(40)}` }, { id: `e/${n}` })
  const stepper = await first.start(machines.stepper, { id: 'stepper' })
  await until(() => code.said.includes('slow 1') && code.said.includes('promise'))
  await stepper.snapshot()
  await first.close()

  // Without its machine the receiver takes nothing: what it is sent stays on disk. The later release of `parked` has lost its state.
  const second = await open('machines', [machines.sender, createParked('2')], false)
  for (let n = 0; n < 5; n++) await second.get<typeof machines.sender>('sender').send({ type: 'go' })
  await second
    .get('parked')
    .send({ type: 'go' } as never)
    .catch((error: unknown) => {
      if (!isPerdureError(error, 'RUN_INCOMPATIBLE')) throw error
    })
  await second.close()
}

async function writeAgents(): Promise<void> {
  const agent = createCorpusAgent(code)
  const runtime = await open('agents', [agent.machine])
  let settled = 0
  runtime.subscribe((event) => {
    if (event.type === 'call.settled' && event.kind === 'tool') settled++
  })
  const { report, nap, session, letters } = createCorpusFlows(runtime, agent, code)
  const isCutOff = (error: unknown): void => {
    if (!isPerdureError(error, 'ABORTED')) throw error
  }
  const tools = (count: number): Promise<void> => until(() => code.said.filter((said) => said === 'note b').length === count)
  await session.run('hello', { id: 'm1' })
  // Answers so long that the snapshot names their calls.
  for (let n = 1; n <= 3; n++) await letters.run(`letter ${n} ${'y'.repeat(600)}`, { id: `letter ${n}` })
  const cutOff = [session.run('notes', { id: 'm2' }).catch(isCutOff)]
  await tools(1)
  cutOff.push(report.run({ topic: 'topic' }, { id: 'report' }).then(() => {}, isCutOff))
  await tools(2)
  cutOff.push(nap.run(undefined, { id: 'nap' }).then(() => {}, isCutOff))
  await until(() => code.said.includes('before'))
  const run = await runtime.start(agent.machine, { id: 'agent' })
  const half = run.waitFor(({ context }) => Object.keys(context.results).length === 1)
  await run.send({ type: 'prompt', text: 'notes' }, { id: 'm1' })
  await half
  await tools(3)
  await until(() => settled === 3) // `note a` of all three
  await runtime.close()
  await Promise.all(cutOff)
}

async function writeInFlight(): Promise<void> {
  const { clerk, miser, boss } = createInFlightAgents(code)
  const runtime = await open('in-flight', [clerk.machine, miser.machine, boss.machine])
  const waiting = createWaitingFlow(runtime, clerk, code)
  code.said.length = 0
  const started = waiting.run(undefined, { id: 'waiting' }).catch((error: unknown) => {
    if (!isPerdureError(error, 'ABORTED')) throw error
  })
  for (const id of ['pay', 'post', 'ask', 'note', 'find', 'call'])
    await runtime.start(clerk.machine, { id, input: { prompt: id } })
  await runtime.start(miser.machine, { id: 'miser', input: { prompt: 'greet' } })
  await runtime.start(boss.machine, { id: 'boss', input: { prompt: 'Ask the clerk.' } })
  // `note` runs in three: in its own run, under the boss, and in the flow.
  await until(() => ['posted', 'asked', 'lost', 'called 1', 'first'].every((said) => code.said.includes(said)))
  await until(() => code.said.filter((said) => said === 'noted 1').length === 3)
  await runtime.get('waiting').send({ type: 'go', n: 1 }, { id: 'go 1' })
  let pending = 0
  while (pending < 3) {
    pending = 0
    for await (const _ of runtime.pending()) pending++ // the approval, the limit, the flow's question
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  await new Promise((resolve) => setTimeout(resolve, 200)) // the time of the next attempt is on disk
  await runtime.close()
  await started
}

try {
  await writeMachines()
  await writeInFlight()
  await writeAgents()
  for (const name of await readdir(work)) {
    const directory = join(work, name)
    for (const file of await readdir(directory)) if (/^(LOCK|LOG(\.old)?)$/.test(file)) await rm(join(directory, file))
    const owner: object = JSON.parse(await readFile(join(directory, 'OWNER'), 'utf8'))
    await writeFile(join(directory, 'OWNER'), `${JSON.stringify({ ...owner, pid: 1, hostname: 'corpus' })}\n`)
    await cp(directory, join(target, name), { recursive: true })
  }
} catch (error) {
  await rm(target, { recursive: true })
  throw error
} finally {
  await rm(work, { recursive: true })
}
