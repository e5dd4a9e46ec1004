import { styleText } from 'node:util'

/** What a line is about, as a glyph and a colour. */
export type Tone = 'begin' | 'start' | 'finish' | 'complete' | 'reuse' | 'repeat' | 'cut' | 'fail' | 'note'

/** How lines look. */
export interface Theme {
  readonly glyph: (tone: Tone) => string
  /** Colours a text after its tone. */
  readonly paint: (tone: Tone, text: string) => string
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  /** Our own punctuation, as far as the terminal has it. */
  readonly spell: (text: string) => string
  readonly spinner: readonly string[]
}

/** What of the surroundings decides how lines look. */
export type Environment = Readonly<Record<string, string | undefined>>

const COLOURS = {
  begin: 'blue',
  start: 'gray',
  finish: 'green',
  complete: 'green',
  reuse: 'cyan',
  repeat: 'yellow',
  cut: 'yellow',
  fail: 'red',
  note: 'gray',
} as const satisfies Record<Tone, Parameters<typeof styleText>[0]>

const GLYPHS: Readonly<Record<Tone, string>> = {
  begin: '▶',
  start: '○',
  finish: '●',
  complete: '✔',
  reuse: '≡',
  repeat: '↻',
  cut: '◌',
  fail: '✖',
  note: ' ',
}
const ASCII_GLYPHS: Readonly<Record<Tone, string>> = {
  begin: '>',
  start: 'o',
  finish: '*',
  complete: '+',
  reuse: '=',
  repeat: '!',
  cut: '~',
  fail: 'x',
  note: ' ',
}
const ASCII_MARKS: readonly (readonly [string, string])[] = [
  [' · ', ', '],
  ['…', '...'],
  ['›', '>'],
  ['�', '?'],
]

/** Whether to colour: `FORCE_COLOR` and then `NO_COLOR` decide, else whether a person reads it. */
export function wantsColor(isTTY: boolean, env: Environment): boolean {
  const { FORCE_COLOR, NO_COLOR, TERM } = env
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  return (NO_COLOR === undefined || NO_COLOR === '') && isTTY && TERM !== 'dumb'
}

/** Whether the terminal shows more than ASCII. The consoles of Linux and of old Windows do not. */
export function hasUnicode(env: Environment, platform: NodeJS.Platform): boolean {
  if (platform !== 'win32') return env.TERM !== 'linux'
  return env.WT_SESSION !== undefined || env.TERM_PROGRAM !== undefined || env.TERM === 'xterm-256color'
}

/** Makes a theme with or without colours, with or without characters beyond ASCII. */
export function createTheme({ color, unicode }: { readonly color: boolean; readonly unicode: boolean }): Theme {
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    color && text !== '' ? styleText(format, text, { validateStream: false }) : text
  return {
    glyph: (tone) => (unicode ? GLYPHS : ASCII_GLYPHS)[tone],
    paint: (tone, text) => style(COLOURS[tone], text),
    bold: (text) => style('bold', text),
    dim: (text) => style('dim', text),
    spell: (text) => (unicode ? text : ASCII_MARKS.reduce((rest, [mark, plain]) => rest.replaceAll(mark, plain), text)),
    spinner: unicode ? ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'] : ['-', '\\', '|', '/'],
  }
}
