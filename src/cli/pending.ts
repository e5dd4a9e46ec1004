import { toSafeText } from '../observe/safe-text.ts'
import { cutText } from '../observe/text-width.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toAgeText } from './run-text.ts'
import { toSafeLines } from './safe-lines.ts'

export interface PendingCommand extends StoreOptions {
  readonly run?: string | undefined
}

/** What a person types for each kind of question. */
const HINTS = {
  approval: (run: string) => `perdure approve ${run}`,
  question: (run: string) => `perdure answer ${run} '…'`,
  doubt: (run: string) => `perdure answer ${run} '{"retry":true}'`,
  limit: (run: string) => `perdure answer ${run} '{"stop":true}'`,
} as const

/** `perdure pending`: what waits for a person. With `json` a question a line, with the JSON Schema of its answer. */
export async function runPending(command: PendingCommand, terminal: Terminal): Promise<ExitCode> {
  const { json = false } = command
  const { out, theme, columns, now } = terminal
  return runCommand('pending', command, terminal, async (store) => {
    let count = 0
    for await (const question of store.pending({ run: command.run })) {
      count++
      if (json) {
        out(toJsonLine(question))
        continue
      }
      const { runId, id, kind, name, text, call, refused, askedAt } = question
      const age = `${toAgeText(askedAt, now())} ago`
      out(`${theme.paint('repeat', kind)} ${theme.bold(toSafeText(name))}  ${theme.dim(`${toSafeText(runId)}, ${age}`)}\n`)
      for (const line of toSafeLines(text).split('\n')) out(`  ${line}\n`)
      if (call !== undefined) {
        const asked = `${toSafeText(call.name)} ${toSafeText(call.arguments)}`
        out(`  ${columns === undefined ? asked : theme.spell(cutText(asked, columns - 2))}\n`)
      }
      if (refused !== undefined) out(`  ${theme.paint('fail', `The last answer did not fit: ${toSafeText(refused)}`)}\n`)
      out(`  ${theme.dim(`id ${toSafeText(id)}`)}\n  ${theme.dim(theme.spell(HINTS[kind](toShellWord(runId))))}\n`)
    }
    if (count === 0 && !json) out(`${theme.dim('Nothing waits for a person.')}\n`)
    return 0
  })
}

/** As a shell takes it. */
const toShellWord = (text: string): string =>
  /^[\w./:@%+=-]+$/.test(text) ? text : `'${toSafeText(text).replaceAll("'", "'\\''")}'`
