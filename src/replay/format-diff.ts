import { toDuration, toNumber } from '../observe/quantity.ts'
import { toSafeText, toSafeValue } from '../observe/safe-text.ts'
import { toCostText, toSpendParts } from '../observe/spend-text.ts'
import { cutText, toWidth } from '../observe/text-width.ts'
import { createTheme, type Theme, type Tone } from '../observe/theme.ts'
import { addSpend, type Spend } from '../runtime/spend.ts'
import type { CallDiff, CallFigures, Pair, RunDiff, RunFigures, TurnDiff } from './diff-runs.ts'

/** How a diff is drawn. */
export interface DiffFormat {
  /** Columns, from 20 on. Default: 100. */
  readonly width?: number | undefined
  /** Default: no colours. */
  readonly color?: boolean | undefined
  /** Whether more than ASCII can be shown. Default: it can. */
  readonly unicode?: boolean | undefined
}

interface Pen {
  readonly theme: Theme
  readonly width: number
}

const MARKS = { same: ' ', changed: '~', removed: '-', added: '+' } as const
const TONES = { same: 'note', changed: 'repeat', removed: 'fail', added: 'finish' } as const satisfies Record<string, Tone>

/**
 * A diff as a picture for a terminal: a line for each turn, call and step that is another, what it was and what it is below it. `-` is only in the first run, `+` only in the
 * second. What is the same is counted. Texts are made safe to print, and cut to one line each.
 *
 * @example
 * ```ts
 * process.stdout.write(formatDiff(diffRuns(before, after), { width: process.stdout.columns, color: true }))
 * ```
 */
export const formatDiff = (diff: RunDiff, { width = 100, color = false, unicode = true }: DiffFormat = {}): string =>
  drawDiff(diff, { theme: createTheme({ color, unicode }), width })

export function drawDiff(diff: RunDiff, { theme, width }: Pen): string {
  const pen: Pen = { theme, width: Math.max(20, width) }
  const lines = [...toHead(pen, diff), ...toBody(pen, diff, 0), ...diff.within.flatMap((run) => toWithin(pen, run))]
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

function toHead(pen: Pen, diff: RunDiff): readonly string[] {
  const whole = diff.change === 'same' ? [toLine(pen, 'same', 0, 'The same, but for what they cost and when they were.')] : []
  const sides = [
    ['removed', 'a'],
    ['added', 'b'],
  ] as const
  return [
    ...sides.flatMap(([change, side]) => {
      const figures = diff[side]
      if (figures === undefined) return []
      const spend = diff.within.reduce(
        (sum, run) => (run[side] === undefined ? sum : addSpend(sum, run[side].spend)),
        figures.spend,
      )
      return [toLine(pen, change, 0, toSafeText(figures.id), toRunText({ ...figures, spend }))]
    }),
    ...whole,
  ]
}

function toRunText({ kind, name, status, turns, spend, durationMs }: RunFigures): string {
  const parts = [
    `${kind} ${toSafeText(name)}`,
    status,
    ...(turns === 0 ? [] : [`${toNumber(turns)} turn${turns === 1 ? '' : 's'}`]),
    ...toSpendParts(spend),
    ...(durationMs === undefined ? [] : [toDuration(durationMs)]),
  ]
  return parts.join(' · ')
}

function toWithin(pen: Pen, run: RunDiff): readonly string[] {
  const title = toSafeText(run.b?.id ?? run.a?.id ?? '')
  const only = run.a === undefined || run.b === undefined ? (run.a ?? run.b) : undefined
  const detail = only === undefined ? toCostChange(run) : toRunText(only)
  return [toLine(pen, run.change, 0, title, detail), ...(only === undefined ? toBody(pen, run, 1) : [])]
}

/** What is within a run. Neighbours that are the same are one line. */
function toBody(pen: Pen, run: RunDiff, level: number): readonly string[] {
  const own = (['input', 'result'] as const).flatMap((part) =>
    run.changed.includes(part) && !(part === 'result' && run.turns.length > 0)
      ? toValues(pen, level + 1, part, run.a?.[part], run.b?.[part])
      : [],
  )
  return [
    ...own,
    ...toGroups(run.turns).flatMap((group) =>
      group[0]?.change === 'same'
        ? [toSame(pen, level + 1, group.length, 'turn')]
        : group.flatMap((turn) => toTurn(pen, turn, level + 1)),
    ),
    ...toCalls(pen, run.steps, level + 1, 'step'),
  ]
}

const toSame = (pen: Pen, level: number, count: number, noun: string): string =>
  toLine(pen, 'same', level, '', `${toNumber(count)} ${noun}${count === 1 ? '' : 's'} the same`)

/** The items in groups of neighbours that are all the same, or all not. */
function toGroups<T extends Pair<unknown>>(items: readonly T[]): readonly (readonly T[])[] {
  const groups: T[][] = []
  for (const item of items) {
    const last = groups.at(-1)
    if (last !== undefined && (last[0]?.change === 'same') === (item.change === 'same')) last.push(item)
    else groups.push([item])
  }
  return groups
}

function toTurn(pen: Pen, turn: TurnDiff, level: number): readonly string[] {
  const { change, a, b, changed, calls } = turn
  const figures = b ?? a
  const title = `turn ${a !== undefined && b !== undefined && a.turn !== b.turn ? `${a.turn} / ${b.turn}` : figures?.turn}`
  const prompt = `“${toSafeText(figures?.prompt ?? '')}”`
  if (a === undefined || b === undefined) {
    const result = figures?.result === undefined ? '' : ` → ${toSafeValue(figures.result)}`
    return [toLine(pen, change, level, title, prompt + result)]
  }
  const prompts = changed.includes('prompt') ? toValues(pen, level + 1, 'prompt', a.prompt, b.prompt) : []
  const results = changed.includes('result') ? toValues(pen, level + 1, 'result', a.result, b.result) : []
  const about = changed.map((part) => (part === 'output' ? 'form of the answer' : part)).join(', ')
  const detail = [about, toCostChange(turn), ...(prompts.length > 0 ? [] : [prompt])].filter((part) => part !== '').join(' · ')
  return [toLine(pen, change, level, title, detail), ...prompts, ...toCalls(pen, calls, level + 1, 'call'), ...results]
}

const toCalls = (pen: Pen, calls: readonly CallDiff[], level: number, noun: string): readonly string[] =>
  toGroups(calls).flatMap((group) =>
    group[0]?.change === 'same' ? [toSame(pen, level, group.length, noun)] : group.flatMap((call) => toCall(pen, call, level)),
  )

function toCall(pen: Pen, call: CallDiff, level: number): readonly string[] {
  const { change, a, b, changed } = call
  const figures = b ?? a
  if (figures === undefined) return []
  if (a === undefined || b === undefined) return [toLine(pen, change, level, toCallTitle(figures), toCallText(figures))]
  const parts = (['name', 'arguments', 'status', 'result'] as const).filter((part) => changed.includes(part))
  const [only] = parts
  return [
    toLine(
      pen,
      change,
      level,
      toCallTitle(figures),
      [parts.join(', '), toCostChange(call)].filter((part) => part !== '').join(' · '),
    ),
    ...parts.flatMap((part) => toValues(pen, level + 1, parts.length === 1 && only === part ? '' : part, a[part], b[part])),
  ]
}

const toCallTitle = ({ kind, name }: CallFigures): string => `${kind} ${cutText(toSafeText(name), 40)}`
const toCallText = ({ arguments: text, result }: CallFigures): string =>
  [...(text === undefined ? [] : [toSafeText(text)]), ...(result === undefined ? [] : [`→ ${toSafeValue(result)}`])].join(' ')

interface Costs {
  readonly spend: Spend
  readonly durationMs: number | undefined
}

/** Tokens, cost and time, as far as they are others. */
function toCostChange({ a, b }: Pair<Costs>): string {
  if (a === undefined || b === undefined) return ''
  const toTexts = ({ spend, durationMs }: Costs): readonly (string | undefined)[] => [
    `${toNumber(spend.inputTokens + spend.outputTokens)} tokens`,
    toCostText(spend),
    durationMs === undefined ? undefined : toDuration(durationMs),
  ]
  const after = toTexts(b)
  return toTexts(a)
    .flatMap((text, at) => (text === after[at] ? [] : [`${text ?? 'nothing'} → ${after[at] ?? 'nothing'}`]))
    .join(' · ')
}

/** How much is shown of what is the same before two texts part. */
const CONTEXT = 12

/** What it was, and what it is. Of long texts that begin alike it is shown where they part. */
function toValues(pen: Pen, level: number, name: string, a: unknown, b: unknown): readonly string[] {
  const [before, after] = [toText(a), toText(b)]
  let same = 0
  while (same < before.length && before[same] === after[same]) same++
  const show = (text: string): string => toSafeText(same > pen.width / 2 ? `…${text.slice(same - CONTEXT)}` : text)
  return [
    ...(a === undefined ? [] : [toLine(pen, 'removed', level, name, show(before))]),
    ...(b === undefined ? [] : [toLine(pen, 'added', level, name, show(after))]),
  ]
}

const toText = (value: unknown): string => (typeof value === 'string' ? value : toSafeValue(value))

function toLine({ theme, width }: Pen, change: Pair<unknown>['change'], level: number, title: string, detail = ''): string {
  const start = cutText(
    `${'  '.repeat(level)}${MARKS[change]} ${theme.spell(title)}${title === '' || detail === '' ? '' : '  '}`,
    width,
  )
  const left = width - toWidth(start)
  const rest = left > 1 ? cutText(theme.spell(detail), left) : ''
  return change === 'same' ? theme.dim(start + rest) : theme.paint(TONES[change], start) + rest
}
