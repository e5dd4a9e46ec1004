import type { LogOutput } from '../observe/log-output.ts'
import { createTheme, hasUnicode, wantsColor } from '../observe/theme.ts'
import type { Terminal } from './command.ts'

/** How long a command may take to end after Ctrl-C or SIGTERM. */
const ENDING_MS = 2_000

/** What a command writes to: with colours if a person reads it. From now on Ctrl-C and SIGTERM end what the command waits for; a second one, or one that has no effect, the process. */
export function openTerminal(stdout: LogOutput, stderr: LogOutput, { env, platform }: NodeJS.Process): Terminal {
  const interrupted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      interrupted.abort()
      process.once(signal, () => process.exit(130))
      setTimeout(() => process.exit(130), ENDING_MS).unref()
    })
  return {
    out: stdout.write,
    err: stderr.write,
    columns: stdout.columns,
    theme: createTheme({
      color: wantsColor(stdout.stream.isTTY === true, env),
      unicode: stdout.columns === undefined || hasUnicode(env, platform),
    }),
    now: Date.now,
    signal: interrupted.signal,
  }
}
