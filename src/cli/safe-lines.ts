import { toSafeText } from '../observe/safe-text.ts'

/** Pieces that {@link toSafeText} takes whole. */
const MAX_PIECE = 2_000

/** A text that somebody else wrote, safe to print and still in its lines, with the white space around its words. */
export const toSafeLines = (text: string): string => text.split(/\r?\n/).map(toSafeLine).join('\n')

function toSafeLine(line: string): string {
  let safe = ''
  for (let at = 0; at < line.length; at += MAX_PIECE) {
    const piece = line.slice(at, at + MAX_PIECE)
    const start = piece.length - piece.trimStart().length
    const end = piece.length - piece.trimEnd().length
    safe += ' '.repeat(start) + toSafeText(piece) + (start === piece.length ? '' : ' '.repeat(end))
  }
  return safe
}
