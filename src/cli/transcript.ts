import type { TranscriptMessage } from '../management/management.ts'
import { toSafeText } from '../observe/safe-text.ts'
import type { Tone } from '../observe/theme.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toSafeLines } from './safe-lines.ts'

export interface TranscriptCommand extends StoreOptions {
  readonly run: string
}

const TONES: Readonly<Record<TranscriptMessage['message']['role'], Tone>> = { user: 'begin', assistant: 'finish', tool: 'reuse' }

/** `perdure transcript`: the messages of a conversation, in full. With `json` a message a line. */
export async function runTranscript(command: TranscriptCommand, terminal: Terminal): Promise<ExitCode> {
  const { run, json = false } = command
  const { out, theme } = terminal
  return runCommand('transcript', command, terminal, async (store) => {
    for await (const item of store.transcript(run)) {
      if (json) {
        out(toJsonLine(item))
        continue
      }
      const { runId, turn, message } = item
      const { role, content } = message
      const who = role === 'tool' ? `tool ${toSafeText(message.name)}${message.isError ? ' failed' : ''}` : role
      const where = [...(turn === 0 ? [] : [`turn ${turn}`]), ...(runId === run ? [] : [toSafeText(runId)])].join(
        theme.spell(' · '),
      )
      out(`${theme.paint(TONES[role], who)}${where === '' ? '' : `  ${theme.dim(where)}`}\n`)
      if (content !== '') out(`${toSafeLines(content)}\n`)
      if (role === 'assistant')
        for (const call of message.toolCalls) out(`${theme.spell(`→ ${toSafeText(call.name)} ${toSafeText(call.arguments)}`)}\n`)
      out('\n')
    }
    return 0
  })
}
