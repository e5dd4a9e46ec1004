import { cutText, padText, toWidth, wrapText } from './text-width.ts'
import type { Theme, Tone } from './theme.ts'

/** One thing that happened, to be laid out. All its texts are safe. */
export interface LogLine {
  readonly tone: Tone
  /** Of a run (0), of something in it (1). */
  readonly level: 0 | 1
  readonly name: string
  /** What happened to it: `finished`. */
  readonly verb: string
  readonly detail: string
}

/** Lays lines out in columns: glyph, name, what happened, details. */
export interface Layout {
  /** The line with its line feed, wrapped at `columns`. */
  render(line: LogLine, columns: number | undefined): string
  /** A name as wide as the column of names. */
  lead(name: string, columns: number | undefined): string
}

const MIN_NAME = 9 // `default_2`
const MAX_NAME = 32
const VERB = 9 // `completed`
const MIN_DETAIL = 30
const MAX_LINES = 4

/** The names' column only ever becomes wider, so that lines stay below each other. */
export function createLayout(theme: Theme): Layout {
  let width = MIN_NAME

  const fit = (name: string, level: 0 | 1, columns: number | undefined): string => {
    const limit = columns === undefined ? MAX_NAME : Math.min(MAX_NAME, Math.floor(columns * 0.4))
    const cut = cutText(name, limit)
    // What is a level deeper is indented by two: the run's own name has these two columns more.
    width = Math.min(limit, Math.max(width, toWidth(cut) - (level === 0 ? 2 : 0)))
    return padText(cut, level === 0 ? width + 2 : width)
  }

  return {
    lead: (name, columns) => fit(name, 1, columns),
    render({ tone, level, name, verb, detail }, columns) {
      const label = fit(name, level, columns)
      const start = 4 + width + 2 + VERB + 2
      const room = columns === undefined ? Number.POSITIVE_INFINITY : columns - 1 - start
      const hanging = room >= MIN_DETAIL
      const indent = hanging ? start : 6
      const rows = hanging ? wrapText(theme.spell(detail), room, MAX_LINES) : wrapNarrow(theme.spell(detail), room, columns ?? 0)
      const glyph = tone === 'note' ? ' ' : theme.paint(tone, theme.glyph(tone))
      const title = level === 0 ? theme.bold(theme.spell(label)) : theme.spell(label)
      const faded = tone === 'start' || tone === 'begin' || tone === 'note'
      const paint = (row: string): string => (faded ? theme.dim(row) : row)
      const head = `${' '.repeat(level * 2)}${glyph} ${title}  ${theme.paint(tone, verb)}${' '.repeat(Math.max(0, VERB - verb.length))}`
      const [first = '', ...others] = rows
      const body = first === '' ? head.trimEnd() : `${head}  ${paint(first)}`
      return `${[body, ...others.map((row) => ' '.repeat(indent) + paint(row))].join('\n')}\n`
    },
  }
}

/** Too narrow for columns: the details get lines of their own. */
function wrapNarrow(detail: string, room: number, columns: number): readonly string[] {
  if (detail === '') return ['']
  if (toWidth(detail) <= room) return wrapText(detail, room, 1)
  return ['', ...wrapText(detail, Math.max(10, columns - 7), MAX_LINES + 2)]
}
