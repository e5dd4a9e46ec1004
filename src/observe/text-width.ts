const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]|\ufe0f|\p{Emoji_Presentation}/u
const ZERO = /^[\p{Mn}\p{Me}\u200c\u200d]+$/u
const ASCII = /^[\x20-\x7e]*$/

let segmenter: Intl.Segmenter | undefined

/** Loading it takes milliseconds: not before it is needed, and who logs nothing never needs it. */
function segment(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' })
  return segmenter.segment(text)
}

const cellsOf = (grapheme: string): number => (ZERO.test(grapheme) ? 0 : WIDE.test(grapheme) ? 2 : 1)

/** How many columns of a terminal a safe text takes. An estimate: terminals differ on rare characters. */
export function toWidth(text: string): number {
  if (ASCII.test(text)) return text.length
  let width = 0
  for (const grapheme of segment(text)) width += cellsOf(grapheme.segment)
  return width
}

/** The text in at most `width` columns; one that is cut ends with `…`. */
export function cutText(text: string, width: number): string {
  if (toWidth(text) <= width) return text
  let kept = ''
  let used = 0
  for (const grapheme of segment(text)) {
    used += cellsOf(grapheme.segment)
    if (used > width - 1) break
    kept += grapheme.segment
  }
  return `${kept.trimEnd()}…`
}

/** The text followed by spaces up to `width` columns. */
export const padText = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - toWidth(text)))

/** A space at which no line is broken. */
const NO_BREAK = '\u00a0'

/** The text with its spaces kept together by {@link wrapText}. */
export const keepTogether = (text: string): string => text.replaceAll(' ', NO_BREAK)

/** The text in lines of at most `width` columns, broken between words but not before a `·`; what does not fit into `maxLines` is cut. */
export function wrapText(text: string, width: number, maxLines: number): readonly string[] {
  return toLines(text, width, maxLines).map((line) => line.replaceAll(NO_BREAK, ' '))
}

function toLines(text: string, width: number, maxLines: number): readonly string[] {
  if (toWidth(text) <= width) return [text]
  const lines: string[] = []
  const words = text.split(/ (?!· )/)
  let line = ''
  for (const [index, word] of words.entries()) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line === '' || toWidth(longer) <= width) {
      line = longer
      continue
    }
    if (lines.length === maxLines - 1) return [...lines, cutText([line, ...words.slice(index)].join(' '), width)]
    lines.push(cutText(line, width))
    line = word
  }
  return [...lines, cutText(line, width)]
}
