import type { Connection } from '../management/client.ts'
import type { CallNode, RunDetails, TurnNode } from '../management/management.ts'
import { toDuration } from '../observe/quantity.ts'
import { toSafeText, toSafeValue } from '../observe/safe-text.ts'
import { toSpendParts, toWorkParts } from '../observe/spend-text.ts'
import { cutText, toWidth } from '../observe/text-width.ts'
import type { Tone } from '../observe/theme.ts'
import type { Spend } from '../runtime/spend.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toAgeText, toErrorLine, toRunTone, toStateText, toStatusText, toStepTone } from './run-text.ts'

export interface ShowCommand extends StoreOptions {
  readonly run: string
  /** Arguments and results as they are, not cut. */
  readonly full?: boolean | undefined
}

/** A line of the picture: its beginning is kept, what follows is cut to the terminal. */
interface Line {
  readonly level: number
  readonly tone: Tone
  readonly title: string
  readonly detail?: string | undefined
}

/** How wide a line is that is not for a terminal. */
const PIPE_COLUMNS = 160

/** `perdure show`: the turns and calls of a run, with those of the runs that belong to it, as a tree. With `json` an object for each of these runs. */
export async function runShow(command: ShowCommand, terminal: Terminal): Promise<ExitCode> {
  const { run, json = false, full = false } = command
  const { theme } = terminal
  const width = full ? Number.POSITIVE_INFINITY : (terminal.columns ?? PIPE_COLUMNS)
  return runCommand('show', command, terminal, async (store) => {
    if (!json) {
      for await (const { level, tone, title, detail = '' } of toLines(store, run, terminal.now(), 0, toSpendParts)) {
        const glyph = theme.glyph(tone)
        const space = '  '.repeat(level)
        const start = theme.spell(title)
        const left = Math.max(20, width - toWidth(`${space}${glyph} ${start}  `))
        const rest = detail === '' ? '' : `  ${theme.dim(cutText(theme.spell(detail), left))}`
        terminal.out(`${`${space}${theme.paint(tone, glyph)} ${level === 0 ? theme.bold(start) : start}${rest}`.trimEnd()}\n`)
      }
      return 0
    }
    const ids = [run]
    for (let id = ids.shift(); id !== undefined; id = ids.shift()) {
      const details = await store.run(id)
      terminal.out(toJsonLine(details))
      ids.push(...details.children)
    }
    return 0
  })
}

/** What calls took and cost, in words. */
type ToParts = (spend: Spend) => readonly string[]

async function* toLines(store: Connection, id: string, now: number, level: number, toOwnParts: ToParts): AsyncGenerator<Line> {
  const run = await store.run(id)
  yield toRunLine(run, now, level, toOwnParts)
  // Where nothing has a known price, that is told once.
  const { modelCalls, unpricedCalls } = run.spend
  const toParts = modelCalls > 0 && unpricedCalls >= modelCalls ? toWorkParts : toOwnParts
  const about = [
    ['input', run.input],
    ['output', run.output],
  ] as const
  for (const [name, value] of about)
    if (value !== undefined) yield { level: level + 1, tone: 'note', title: name, detail: toSafeValue(value) }
  if (run.error !== undefined) yield { level: level + 1, tone: 'fail', title: 'error', detail: toErrorLine(run.error) }
  for (const { id: question, kind, text } of run.questions)
    yield {
      level: level + 1,
      tone: 'repeat',
      title: `waits: ${kind}`,
      detail: `${toSafeText(text)} · answer ${toSafeText(question)}`,
    }
  const shown = new Set<string>()
  for (const turn of run.tree) {
    yield toTurnLine(turn, level + 1, toParts)
    for (const call of turn.calls) yield* toCallLines(store, call, now, level + 2, shown, toParts)
  }
  for (const call of run.steps) yield* toCallLines(store, call, now, level + 1, shown, toParts)
  for (const child of run.children) if (!shown.has(child)) yield* toLines(store, child, now, level + 1, toParts)
}

async function* toCallLines(
  store: Connection,
  call: CallNode,
  now: number,
  level: number,
  shown: Set<string>,
  toParts: ToParts,
): AsyncGenerator<Line> {
  yield toCallLine(call, level, toParts)
  for (const child of call.calls) yield* toCallLines(store, child, now, level + 1, shown, toParts)
  for (const run of call.runs) {
    shown.add(run)
    yield* toLines(store, run, now, level + 1, toParts)
  }
}

function toRunLine(run: RunDetails, now: number, level: number, toParts: ToParts): Line {
  const status = toStatusText(run)
  const state = toStateText(run.state)
  const parts = [
    `${run.kind} ${toSafeText(run.name)}`,
    ...(state === '' ? [] : [`in ${state}`]),
    ...(run.waitsFor === undefined ? [] : [`for ${toSafeText(run.waitsFor)}`]),
    `begun ${toAgeText(run.createdAt, now)} ago`,
    ...(run.forkedFrom === undefined ? [] : [`from turn ${run.forkedFrom.turn} on a fork of ${toSafeText(run.forkedFrom.run)}`]),
    ...toParts(run.spend),
  ]
  return { level, tone: toRunTone(status), title: `${toSafeText(run.id)} ${status}`, detail: parts.join(' · ') }
}

function toTurnLine(
  { turn, checkpoint, status, tries, startedAt, endedAt, prompt, error, spend }: TurnNode,
  level: number,
  toParts: ToParts,
): Line {
  const parts = [
    ...(endedAt === undefined ? [] : [toDuration(endedAt - startedAt)]),
    ...(tries > 1 ? [`taken up ${tries - 1} times`] : []),
    ...toParts(spend),
    ...(prompt === undefined ? [] : [`“${toSafeText(prompt)}”`]),
    ...(error === undefined ? [] : [toErrorLine(error)]),
  ]
  return {
    level,
    tone: toStepTone(status),
    title: `turn ${turn} ${toSafeText(checkpoint)} ${status === 'inDoubt' ? 'unfinished' : toStandText(status)}`,
    detail: parts.join(' · '),
  }
}

function toCallLine(call: CallNode, level: number, toParts: ToParts): Line {
  const { kind, name, status, startedAt, endedAt, attempt, reused, isVoid, resolution, spend, result, error } = call
  const isPaid = kind === 'model' || kind === 'tool'
  const cost = kind === 'model' ? toParts(spend).slice(1) : []
  const parts = [
    ...(endedAt === undefined ? [] : [toDuration(endedAt - startedAt)]),
    ...(attempt > 1 ? [`attempt ${attempt}`] : []),
    ...(isVoid ? ['not used: its turn started over'] : reused ? ['reused'] : isPaid && status === 'ok' ? ['paid'] : []),
    ...(resolution === undefined ? [] : [`was in doubt, ${resolution}`]),
    ...cost,
    ...(call.arguments === undefined ? [] : [toSafeText(call.arguments)]),
    ...(error === undefined ? [] : [toErrorLine(error)]),
    ...(error !== undefined || result === undefined || result === '' ? [] : [`→ ${toSafeValue(result)}`]),
  ]
  const title = `${kind} ${cutText(toSafeText(name), 40)} ${toStandText(status)}`
  return { level, tone: toStepTone(status), title, detail: parts.join(' · ') }
}

const toStandText = (status: CallNode['status']): string => (status === 'inDoubt' ? 'in doubt' : status)
