/**
 * `npm run demo`: the program of the specification three times, in a store of its own. Once it fails on purpose after turn 1, once it goes
 * on, once it ignores the store. Prints what each run did and paid, measured from its events, and fails if a crash was paid twice.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { RuntimeEvent } from 'perdure'
import { createReporter } from 'perdure/observe'

const example = fileURLToPath(new URL('../examples/01-durable-agent.ts', import.meta.url))

interface Attempt {
  readonly title: string
  readonly exitCode: number | null
  readonly seconds: number
  readonly events: readonly RuntimeEvent[]
}

async function attempt(title: string, directory: string, flags: NodeJS.ProcessEnv): Promise<Attempt> {
  console.log(`\n$ ${[...Object.keys(flags).map((name) => `${name}=1`), 'node examples/01-durable-agent.ts'].join(' ')}\n`)
  const startedAt = performance.now()
  const child = spawn(process.execPath, ['--conditions=perdure/source', example], {
    stdio: ['ignore', 'inherit', 'pipe'],
    env: { ...process.env, FORCE_FAILURE: '', DISABLE_CACHE: '', ...flags, PERDURE_DIR: directory, PERDURE_LOG: 'json' },
  })
  const report = createReporter({ format: 'pretty' })
  const events: RuntimeEvent[] = []
  const closed = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve))
  for await (const line of createInterface({ input: child.stderr })) {
    const event = parseEvent(line)
    if (event === undefined) console.error(line)
    else {
      events.push(event)
      report(event)
    }
  }
  return { title, exitCode: await closed, seconds: (performance.now() - startedAt) / 1000, events }
}

/** The event that a line of the JSON log is, if it is one. */
function parseEvent(line: string): RuntimeEvent | undefined {
  if (!line.startsWith('{')) return undefined
  return JSON.parse(line) as RuntimeEvent // written by the reporter of the example
}

interface Cell {
  readonly calls: number
  readonly text: string
}

/** What an attempt did with a checkpoint. */
function describe({ events }: Attempt, checkpoint: string): Cell {
  let startedAt = 0
  for (const event of events) {
    if (event.type === 'run.started') startedAt = event.time
    if (!('checkpoint' in event) || event.checkpoint !== checkpoint) continue
    if (event.type === 'checkpoint.started') startedAt = event.time
    const seconds = `${((event.time - startedAt) / 1000).toFixed(2)} s`
    if (event.type === 'checkpoint.reused') return { calls: 0, text: `from the store, 0 model calls, $0, ${seconds}` }
    if (event.type === 'checkpoint.finished') {
      const { modelCalls, costUsd, unpricedCalls } = event.spent
      const cost = unpricedCalls > 0 ? 'cost unknown' : `$${costUsd.toFixed(6)}`
      return { calls: modelCalls, text: `finished, ${modelCalls} model call${modelCalls === 1 ? '' : 's'}, ${cost}, ${seconds}` }
    }
    if (event.type === 'checkpoint.failed') return { calls: event.spent.modelCalls, text: 'failed' }
  }
  return { calls: 0, text: 'never ran' }
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  const toLine = (row: readonly string[]): string => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')
  const [header = [], ...body] = rows
  console.log(`\n${toLine(header)}\n${widths.map((width) => '-'.repeat(width)).join('-|-')}\n${body.map(toLine).join('\n')}\n`)
}

const directory = await mkdtemp(join(tmpdir(), 'perdure-demo-'))
try {
  const attempts = [
    await attempt('first run (FORCE_FAILURE=1)', directory, { FORCE_FAILURE: '1' }),
    await attempt('second run', directory, {}),
    await attempt('third run (DISABLE_CACHE=1)', directory, { DISABLE_CACHE: '1' }),
  ]
  printTable([
    ['', ...attempts.map(({ title }) => title)],
    ['default', ...attempts.map((each) => describe(each, 'default').text)],
    ['default_2', ...attempts.map((each) => describe(each, 'default_2').text)],
    [
      'outcome',
      ...attempts.map(
        ({ exitCode, seconds }) => `${exitCode === 0 ? 'prints the report' : 'failure'}, ${seconds.toFixed(2)} s in all`,
      ),
    ],
  ])
  const [first, second, third] = attempts.map((each) => ({
    exitCode: each.exitCode,
    calls: [describe(each, 'default').calls, describe(each, 'default_2').calls],
  }))
  const asPromised =
    first?.exitCode === 1 &&
    second?.exitCode === 0 &&
    third?.exitCode === 0 &&
    (first.calls[0] ?? 0) > 0 &&
    second.calls[0] === 0 &&
    (second.calls[1] ?? 0) > 0 &&
    (third.calls[0] ?? 0) > 0
  console.log(asPromised ? 'The second run paid for turn 2 only.' : 'This is not what was promised: see the table.')
  process.exitCode = asPromised ? 0 : 1
} finally {
  await rm(directory, { recursive: true, force: true })
}
