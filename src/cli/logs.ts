import type { Connection } from '../management/client.ts'
import { toSafeText, toSafeValue } from '../observe/safe-text.ts'
import type { StreamChunk } from '../runtime/stream.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toSafeLines } from './safe-lines.ts'

export interface LogsCommand extends StoreOptions {
  readonly run: string
  /** Goes on until the run ends. */
  readonly follow?: boolean | undefined
  /** Goes on after the chunk of that offset. */
  readonly offset?: string | undefined
}

/** `perdure logs`: what the models of a run write and its steps tell. With `json` a chunk a line, each with the `offset` to go on after it. */
export async function runLogs(command: LogsCommand, terminal: Terminal): Promise<ExitCode> {
  const { run, follow = false, offset, json = false } = command
  return runCommand('logs', command, terminal, async (store: Connection) => {
    const write = json ? (chunk: StreamChunk) => terminal.out(toJsonLine(chunk)) : createChunkWriter(terminal, run)
    for (const id of await toStreamed(store, run, offset))
      for await (const chunk of store.stream(id, { offset, follow, signal: terminal.signal })) write(chunk)
    return 0
  })
}

/** Who comes anew to a flow that has ended hears nothing of it: its conversations, each for itself, have what they wrote last. */
async function toStreamed(store: Connection, run: string, offset: string | undefined): Promise<readonly string[]> {
  if (offset !== undefined) return [run]
  const { kind, status, children } = await store.run(run)
  return kind === 'flow' && status !== 'running' ? children : [run]
}

/** Writes chunks as text: a heading where another call begins, then what it says. */
function createChunkWriter({ out, theme }: Terminal, run: string): (chunk: StreamChunk) => void {
  let last = ''
  let isAtStart = true
  const write = (text: string): void => {
    if (text === '') return
    out(text)
    isAtStart = text.endsWith('\n')
  }
  const breakLine = (): void => write(isAtStart ? '' : '\n')
  return (chunk) => {
    const place = `${chunk.runId}#${chunk.key}#${chunk.attempt}`
    if (place !== last && chunk.type !== 'settled') {
      breakLine()
      const of = chunk.runId === run ? '' : `${toSafeText(chunk.runId)} `
      write(`${theme.dim(theme.spell(`› ${of}${toSafeText(chunk.key)}`))}\n`)
      last = place
    }
    switch (chunk.type) {
      case 'text':
        return write(toSafeLines(chunk.delta))
      case 'arguments':
        return write(toSafeLines(chunk.delta))
      case 'progress':
        breakLine()
        return write(`${toSafeText(`${chunk.kind} ${chunk.name}`)}: ${toSafeValue(chunk.value)}\n`)
      case 'discarded':
        breakLine()
        return write(`${theme.paint('cut', theme.spell('… that was cut off, and comes again'))}\n`)
      case 'settled':
        return breakLine()
    }
  }
}
