import type { Connection } from '../management/client.ts'
import type { RunQuery, RunSummary, UnreadableRun } from '../management/management.ts'
import { toNumber } from '../observe/quantity.ts'
import { toSafeText } from '../observe/safe-text.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toAgeText, toCost, toErrorLine, toRunTone, toStateText, toStatusText } from './run-text.ts'
import { type Cell, type Column, toTable } from './table.ts'
import { untilChange } from './watch.ts'

export interface LsCommand extends StoreOptions {
  readonly status?: RunQuery['status']
  readonly kind?: RunQuery['kind']
  readonly name?: string | undefined
  /** Only runs that were changed in the last … milliseconds. */
  readonly sinceMs?: number | undefined
  readonly pending?: boolean | undefined
  /** Also the runs that belong to others. */
  readonly all?: boolean | undefined
  readonly after?: string | undefined
  readonly limit: number
  readonly watch?: boolean | undefined
}

const HEAD: readonly Column[] = [
  { title: 'RUN', minWidth: 16 },
  { title: 'STATUS' },
  { title: 'STATE', minWidth: 6, leaveOut: 1 },
  { title: 'AGE', align: 'right', leaveOut: 3 },
  { title: 'TURNS', align: 'right', leaveOut: 5 },
  { title: 'CALLS', align: 'right', leaveOut: 4 },
  { title: 'TOKENS', align: 'right', leaveOut: 6 },
  { title: 'COST', align: 'right', leaveOut: 2 },
  { title: 'WAITS FOR', minWidth: 10 },
]

/** `perdure ls`: what the runs do. */
export async function runLs(command: LsCommand, terminal: Terminal): Promise<ExitCode> {
  const { json = false, watch = false } = command
  return runCommand('ls', command, terminal, async (store) => {
    for (;;) {
      const runs = await readRuns(store, command, terminal)
      if (json) for (const run of runs) terminal.out(toJsonLine(run))
      else {
        // On a terminal the picture is drawn anew: cursor to the corner, and what is left below it erased.
        if (watch && terminal.columns !== undefined) terminal.out('\u001b[H\u001b[2J')
        terminal.out(`${toLines(runs, command, terminal).join('\n')}\n`)
      }
      if (!watch) return 0
      await untilChange(store, terminal.signal)
      if (terminal.signal.aborted) return 130
    }
  })
}

async function readRuns(
  store: Connection,
  command: LsCommand,
  { now }: Terminal,
): Promise<readonly (RunSummary | UnreadableRun)[]> {
  const { status, kind, name, sinceMs, pending, all = false, after, limit } = command
  const query: RunQuery = {
    status,
    kind,
    name,
    updatedSince: sinceMs === undefined ? undefined : now() - sinceMs,
    hasPending: pending === true ? true : undefined,
    isTop: all ? undefined : true,
    after,
    limit,
  }
  const runs: (RunSummary | UnreadableRun)[] = []
  for await (const run of store.runs(query)) runs.push(run)
  return runs
}

function toLines(runs: readonly (RunSummary | UnreadableRun)[], { limit }: LsCommand, terminal: Terminal): readonly string[] {
  const { columns, theme } = terminal
  if (runs.length === 0) return [theme.dim('No runs.')]
  const lines = toTable(
    HEAD,
    runs.map((run) => toCells(run, terminal)),
    columns,
    theme.dim,
  )
  const last = runs.at(-1)
  const more =
    runs.length === limit && last !== undefined
      ? [theme.dim(`The first ${limit}. More: --after ${JSON.stringify(toSafeText(last.id))}`)]
      : []
  return [...lines, ...more].map(theme.spell)
}

function toCells(run: RunSummary | UnreadableRun, { theme, now }: Terminal): readonly Cell[] {
  const id = { text: toSafeText(run.id), paint: theme.bold }
  const paintStatus = (status: string): Cell => ({ text: status, paint: (text) => theme.paint(toRunTone(status), text) })
  if (run.status === 'unreadable')
    return [id, paintStatus(run.status), ...Array.from({ length: 6 }, () => ({ text: '' })), { text: toErrorLine(run.error) }]
  const { spend, turns, waitsFor, error, createdAt, state } = run
  const calls = spend.modelCalls + spend.toolCalls
  const tokens = spend.inputTokens + spend.outputTokens
  const toAmount = (amount: number): string => (amount === 0 ? '' : toNumber(amount))
  return [
    id,
    paintStatus(toStatusText(run)),
    { text: toStateText(state) },
    { text: toAgeText(createdAt, now()), paint: theme.dim },
    { text: toAmount(turns) },
    { text: toAmount(calls) },
    { text: toAmount(tokens) },
    { text: toCost(spend) },
    { text: error === undefined ? toSafeText(waitsFor ?? '') : toErrorLine(error) },
  ]
}
