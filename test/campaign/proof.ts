import { counters, type SubjectResult, type Totals, toTotals } from './campaign.ts'
import { plantedBugs } from './planted-bugs.ts'
import { subjectKinds } from './subjects.ts'

/** Where and how a campaign was run. */
export interface CampaignFacts {
  readonly seed: number
  readonly size: number
  readonly date: string
  readonly node: string
  readonly machine: string
  readonly seconds: number
}

/** A row of the table: a subject, all of what became of it. */
export interface SubjectRow extends Totals {
  readonly name: string
  readonly writes: number
  readonly inDoubt: number
}

const headings = ['writes', 'scenarios', 'deaths', 'in doubt', 'repeated', 'doubled', 'lost', 'diverged', 'stuck'] as const

export function toRows(results: readonly SubjectResult[]): SubjectRow[] {
  const names = [...new Set(results.map(({ name }) => name))]
  return names.map((name) => {
    const own = results.filter((result) => result.name === name)
    const inDoubt = own.reduce((sum, result) => sum + result.inDoubt, 0)
    return { name, writes: Math.max(...own.map(({ writes }) => writes)), inDoubt, ...toTotals(own) }
  })
}

const toCells = (row: SubjectRow): string[] =>
  [row.writes, row.scenarios, row.deaths, row.inDoubt, ...counters.map((counter) => row[counter])].map(toNumberText)

export const toNumberText = (value: number): string => value.toLocaleString('en-US')

/** The table for a terminal. */
export function toTable(results: readonly SubjectResult[]): string {
  const rows = [['subject', ...headings], ...toRows(results).map((row) => [row.name, ...toCells(row)])]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))).join('  '),
    )
    .join('\n')
}

/** The page `docs/proof.md`. */
export function toProof(results: readonly SubjectResult[], { seed, size, date, node, machine, seconds }: CampaignFacts): string {
  const totals = toTotals(results)
  const inDoubt = results.reduce((sum, result) => sum + result.inDoubt, 0)
  const reported = results.reduce((sum, result) => sum + result.reported, 0)
  const rows = toRows(results)
  const tables = subjectKinds.map((kind) => {
    const own = rows.filter(({ name }) => name.startsWith(`${kind}/`))
    return [
      `### ${kind[0]?.toUpperCase()}${kind.slice(1)} (${own.length})`,
      '',
      `| subject | ${headings.join(' | ')} |`,
      `| --- | ${headings.map(() => '---:').join(' | ')} |`,
      ...own.map((row) => `| ${row.name.slice(kind.length + 1)} | ${toCells(row).join(' | ')} |`),
      '',
    ].join('\n')
  })
  return `# The proof

Written by \`npm run campaign -- --size ${size} --seed ${seed}\` on ${date}: Node ${node}, ${machine}, ${toDuration(seconds)}. Run it again, with this seed or another.

| what | count |
| --- | ---: |
| programs | ${toNumberText(totals.subjects)} |
| machines among them | ${toNumberText(totals.machines)} |
| crash scenarios, in one process | ${toNumberText(totals.scenarios)} |
| deaths of processes by SIGKILL | ${toNumberText(totals.deaths)} |
| steps in flight at a death | ${toNumberText(inDoubt)} |
| of these settled by a report or a person | ${toNumberText(reported)} |
| settled calls executed again | ${toNumberText(totals.repeatedCalls)} |
| effects doubled outside | ${toNumberText(totals.doubledEffects)} |
| acknowledged events lost | ${toNumberText(totals.lostEvents)} |
| diverged final states | ${toNumberText(totals.divergedStates)} |
| runs stuck | ${toNumberText(totals.stuckRuns)} |

## What was done

Each program ran once without a death. Then it ran again and again, and was ended at a point of its life: before a durable write was applied, or after that and before it was acknowledged. It was called again on what
the store held then, and ended again during its recovery, once or twice more. What it came to at last was held against the run that never died: its output; the state, status and settled steps of all of its runs; what
the outside had seen, and how often; how many requests to models were paid; what had been acknowledged to a client that repeats nothing.

- **Scenarios** are lives in one process: on a store in memory that stops at a write, with a clock that takes no real time. All single deaths first, then pairs and triples that the seed draws.
- **Deaths** are processes that end by SIGKILL, on LevelDB in a folder, with the same clock: at every write, at random instants, and during the recovery from the death before. The scenarios are not counted among them.
- A step that was in flight at a death is *in doubt*, and its policy decides. Where it is reported as such, or a person says what it came to, the output may be another one; no effect may be doubled there either.
- A request to a model that was in flight is asked again. What had settled is not.

A campaign that finds nothing says something only if it finds what is wrong: \`test/campaign/planted-bugs.ts\` breaks the runtime in ${plantedBugs.length} ways, one at a time, and a test sees the campaign count each.

The programs are in [test/campaign/subjects](../test/campaign/subjects). A failure is run again with \`npm run campaign -- --subject <name> --schedule '<schedule>'\`. The same tool explores programs of your own: \`exploreCrashes\` of
\`perdure/testing\`. A power cut is another thing than the death of a process: \`test/faults\` has those.

## By program

${tables.join('\n')}`
}

/** The counts of a page that {@link toProof} made. Errors: an `Error` when a count is not there. */
export function parseProof(page: string): Totals {
  const read = (what: string): number => {
    const [, count] = new RegExp(`^\\| ${what} \\| ([\\d,]+) \\|$`, 'm').exec(page) ?? []
    if (count === undefined) throw new Error(`docs/proof.md has no count of \`${what}\`. It is written by \`npm run campaign\`.`)
    return Number(count.replaceAll(',', ''))
  }
  return {
    subjects: read('programs'),
    machines: read('machines among them'),
    scenarios: read('crash scenarios, in one process'),
    deaths: read('deaths of processes by SIGKILL'),
    repeatedCalls: read('settled calls executed again'),
    doubledEffects: read('effects doubled outside'),
    lostEvents: read('acknowledged events lost'),
    divergedStates: read('diverged final states'),
    stuckRuns: read('runs stuck'),
  }
}

const toDuration = (seconds: number): string =>
  seconds < 90 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} minutes`
