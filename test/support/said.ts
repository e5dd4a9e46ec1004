import type { ExitCode, Terminal } from '../../src/cli/command.ts'
import { createTheme } from '../../src/observe/theme.ts'

/** What a command said, and how it ended. */
interface Said {
  readonly code: ExitCode
  readonly out: string
  readonly err: string
}

/** Runs a command as in a pipe, or on a terminal of that width. */
export async function say<T>(
  run: (command: T, terminal: Terminal) => Promise<ExitCode>,
  command: T,
  { columns, signal = new AbortController().signal }: { readonly columns?: number; readonly signal?: AbortSignal } = {},
): Promise<Said> {
  const said = { out: '', err: '' }
  const terminal: Terminal = {
    out(text) {
      said.out += text
    },
    err(text) {
      said.err += text
    },
    columns,
    theme: createTheme({ color: false, unicode: true }),
    now: Date.now,
    signal,
  }
  return { code: await run(command, terminal), ...said }
}

/** The objects that `--json` writes. */
export const parseLines = (text: string): readonly Readonly<Record<string, unknown>>[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
