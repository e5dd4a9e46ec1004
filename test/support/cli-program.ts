import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** What Node is given to run the program `perdure` from its sources. */
export const mainProgram: readonly string[] = [
  '--conditions=perdure/source',
  '--disable-warning=ExperimentalWarning',
  fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url)),
]

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs the program `perdure` in a pipe, to its end. `env`: besides `PATH`. */
export function runMain(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>()
  const options = { env: { PATH: process.env.PATH, ...env } }
  const child = execFile(process.execPath, [...mainProgram, ...args], options, (_, out, err) =>
    resolve({ code: child.exitCode, out, err }),
  )
  return promise
}
