import { cutText, toWidth } from '../observe/text-width.ts'

/** One column of a table. */
export interface Column {
  readonly title: string
  readonly align?: 'right' | undefined
  /** It may be cut down to this width so that the table fits. Default: it may not. */
  readonly minWidth?: number | undefined
  /** Where the table does not fit even so, it is left out: the highest first. Default: it stays. */
  readonly leaveOut?: number | undefined
}

/** A cell: its text, and how that is painted once it has been cut and padded. */
export interface Cell {
  readonly text: string
  readonly paint?: ((text: string) => string) | undefined
}

const GAP = '  '

/** The lines of a table, at most `columns` wide where that can be had. Texts must be safe to print. */
export function toTable(
  head: readonly Column[],
  rows: readonly (readonly Cell[])[],
  columns: number | undefined,
  paintTitle: (text: string) => string,
): readonly string[] {
  const widths = toWidths(head, rows, columns)
  const toLine = (cells: readonly Cell[]): string =>
    head
      .flatMap(({ align }, at) => {
        const width = widths.get(at)
        if (width === undefined) return []
        const { text = '', paint = (plain: string) => plain } = cells[at] ?? {}
        const cut = cutText(text, width)
        const space = ' '.repeat(Math.max(0, width - toWidth(cut)))
        return align === 'right' ? space + paint(cut) : paint(cut) + space
      })
      .join(GAP)
      .trimEnd()
  return [toLine(head.map(({ title }) => ({ text: title, paint: paintTitle }))), ...rows.map(toLine)]
}

/** How wide each column is that is shown, by its place. */
function toWidths(
  head: readonly Column[],
  rows: readonly (readonly Cell[])[],
  columns: number | undefined,
): ReadonlyMap<number, number> {
  const widths = new Map(
    head.map(({ title }, at) => [at, Math.max(toWidth(title), ...rows.map((row) => toWidth(row[at]?.text ?? '')))]),
  )
  const isTooWide = (toOne: (width: number, at: number) => number): boolean => {
    if (columns === undefined) return false
    const all = [...widths].map(([at, width]) => toOne(width, at))
    return all.reduce((sum, width) => sum + width, GAP.length * (all.length - 1)) > columns
  }
  const toLeast = (width: number, at: number): number => Math.min(width, head[at]?.minWidth ?? width)
  const inOrder = [...head.keys()].sort((a, b) => (head[b]?.leaveOut ?? 0) - (head[a]?.leaveOut ?? 0))
  for (const at of inOrder) {
    if (head[at]?.leaveOut === undefined || !isTooWide(toLeast)) break
    widths.delete(at)
  }
  // The widest that may be cut is cut first.
  while (isTooWide((width) => width)) {
    const able = [...widths].filter(([at, width]) => toLeast(width, at) < width).sort(([, a], [, b]) => b - a)
    const [widest] = able
    if (widest === undefined) break
    widths.set(widest[0], widest[1] - 1)
  }
  return widths
}
