/**
 * `npm run campaign`: ends the programs of `test/campaign/subjects` at points of their lives, tens of thousands of times, and holds what they come to against the
 * run that never died.
 *
 * - `--size N`: at least so many crash scenarios in one process, and so many deaths of processes. Default: 20,000.
 * - `--seed S`: which schedules are drawn, and which machines. Default: 1.
 * - `--json`: prints one object, and nothing else.
 * - `--subject <name>`: only this one; `--schedule '4+ 2-'`: only this schedule of it; `--processes`: with processes that are killed.
 *
 * The exit code is 1 when anything was found. A full run of at least 20,000 writes `docs/proof.md`.
 */
import { writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, release, type } from 'node:os'
import { parseArgs } from 'node:util'
import { isClean, runCampaign, type SubjectResult, type Totals, toTotals } from '../test/campaign/campaign.ts'
import { workThrough } from '../test/campaign/crew.ts'
import { toNumberText, toProof, toTable } from '../test/campaign/proof.ts'
import { findSubject } from '../test/campaign/subjects.ts'

const FULL_SIZE = 20_000

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: String(FULL_SIZE) },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    subject: { type: 'string' },
    schedule: { type: 'string' },
    processes: { type: 'boolean', default: false },
  },
})
const size = toCount('size', values.size)
const seed = toCount('seed', values.seed)
const startedAt = performance.now()
const toSeconds = (): number => Math.round((performance.now() - startedAt) / 100) / 10

if (values.schedule !== undefined) await playOne(values.schedule)
else await playAll()

async function playAll(): Promise<void> {
  const line = values.json || !process.stdout.isTTY ? undefined : startLine()
  const results = await runCampaign({
    seed,
    scenarios: size,
    deaths: size,
    workers: availableParallelism(),
    subjects: values.subject === undefined ? undefined : [findSubject(values.subject)],
    onResult: (result, totals) => {
      if (line !== undefined) line.show(totals, result.name)
      else if (!values.json && !isClean(result)) console.log(`${result.name}: ${result.failures.length} schedules fail`)
    },
  }).finally(() => line?.end())
  const totals = toTotals(results)
  const { scenarios, deaths, repeatedCalls, doubledEffects, lostEvents, divergedStates, stuckRuns } = totals
  if (values.json) {
    const counts = {
      scenarios,
      deaths,
      repeatedCalls,
      doubledEffects,
      lostEvents,
      divergedStates,
      stuckRuns,
      seconds: toSeconds(),
    }
    console.log(JSON.stringify(counts))
  } else console.log(`${toTable(results)}\n\n${describe(totals)}`)
  if (!isClean(totals)) {
    tellFailures(results)
    process.exitCode = 1
  }
  if (values.subject !== undefined || size < FULL_SIZE) return
  const [processor] = cpus()
  const proof = toProof(results, {
    seed,
    size,
    date: new Date().toISOString().slice(0, 10),
    node: process.version.slice(1),
    machine: `${type()} ${release().replace(/-.*/, '')}, ${cpus().length} × ${processor?.model.trim() || 'unknown processor'}`,
    seconds: toSeconds(),
  })
  await writeFile(new URL('../docs/proof.md', import.meta.url), proof)
}

/** One schedule of one subject, with all that was wrong. */
async function playOne(schedule: string): Promise<void> {
  if (values.subject === undefined) throw new TypeError('Expected `--subject` to say what `--schedule` is of, got nothing')
  const { name, url } = findSubject(values.subject)
  const how = values.processes ? 'processes' : 'here'
  await workThrough([{ name, url, seed, how, budget: 1, schedule }], 1, (_, { failures }) => {
    if (failures.length > 0) process.exitCode = 1
    console.log(
      failures.length === 0 ? `${name} \`${schedule}\`: all is well` : failures.flatMap(({ problems }) => problems).join('\n'),
    )
  })
}

/** The shortest schedule of each subject that fails, and how to run it again. On the standard error: the output may be JSON. */
function tellFailures(results: readonly SubjectResult[]): void {
  for (const { name, how, failures } of results) {
    const [first] = failures
    if (first === undefined) continue
    const again = `npm run campaign -- --seed ${seed} --subject ${name} --schedule '${first.schedule}'${how === 'processes' ? ' --processes' : ''}`
    console.error(`\n${name}: ${failures.length} schedules fail. The shortest is \`${first.schedule}\`:`)
    for (const problem of first.problems) console.error(`  ${problem}`)
    console.error(`  ${again}`)
  }
}

/** A line on the terminal that is written anew each second. */
function startLine() {
  let text = (): string => `${toSeconds()} s`
  const draw = (): void => void process.stdout.write(`\r\x1b[K${text().slice(0, process.stdout.columns - 1)}`)
  const timer = setInterval(draw, 1_000)
  return {
    show(totals: Totals, name: string): void {
      text = () => `${describe(totals)}  ${name}`
      draw()
    },
    end(): void {
      clearInterval(timer)
      process.stdout.write('\r\x1b[K')
    },
  }
}

function describe({ subjects, scenarios, deaths, ...counts }: Totals): string {
  const { repeatedCalls, doubledEffects, lostEvents, divergedStates, stuckRuns } = counts
  return [
    `${toNumberText(subjects)} programs`,
    `${toNumberText(scenarios)} crash scenarios`,
    `${toNumberText(deaths)} process deaths`,
    `${repeatedCalls} calls repeated`,
    `${doubledEffects} effects doubled`,
    `${lostEvents} events lost`,
    `${divergedStates} states diverged`,
    `${stuckRuns} runs stuck`,
    `${toSeconds()} s`,
  ].join(' · ')
}

function toCount(name: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new TypeError(`Expected \`--${name}\` to be a whole number ≥ 1, got \`${text}\` (${typeof text})`)
}
