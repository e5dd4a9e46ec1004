/**
 * What the stubs say: 1 KB of text that differs from call to call and compresses like random letters, so that nothing is won by repeating it.
 */
const TEXT_CHARACTERS = 1_000

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.,0123456789'
let state = 0x9e3779b9

/** A long text from which the stubs cut theirs: making it costs a stub nothing. */
const letters = Array.from({ length: 1 << 18 }, () => {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return ALPHABET[(state >>> 16) % ALPHABET.length] ?? ''
}).join('')
let at = 0

export function stubText(): string {
  at = (at + 1_009) % (letters.length - TEXT_CHARACTERS)
  return letters.slice(at, at + TEXT_CHARACTERS)
}

/** What a turn begins with. */
export const promptOf = (turn: number): string => `Look at ${turn}.`
