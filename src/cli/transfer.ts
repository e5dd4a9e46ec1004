import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { toBytes } from '../observe/quantity.ts'
import { toSafeText } from '../observe/safe-text.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toStateText, toStatusText } from './run-text.ts'

export interface ExportCommand extends StoreOptions {
  readonly run: string
  /** The file. Default: named after the run, in the current folder. */
  readonly output?: string | undefined
}

export interface ImportCommand extends StoreOptions {
  readonly file: string
  readonly id?: string | undefined
}

/** `perdure export`: a run as one file, which is there as a whole or not at all. With `json` an object: the run, the file, its bytes. */
export const runExport = async (command: ExportCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('export', command, terminal, async (store) => {
    const { run, output: file = toFileName(run), json = false } = command
    const begun = `${file}.${randomBytes(4).toString('hex')}`
    let bytes = 0
    const counted = async function* (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of source) {
        bytes += chunk.byteLength
        yield chunk
      }
    }
    try {
      await pipeline(counted(store.export(run)), createWriteStream(begun, { mode: 0o600, flush: true }), {
        signal: terminal.signal,
      })
      await rename(begun, file)
    } catch (error) {
      await rm(begun, { force: true })
      if (terminal.signal.aborted) return 130
      throw error
    }
    const text = `Exported ${toSafeText(run)} to ${toSafeText(file)}, ${toBytes(bytes)}. It holds what the run was told and answered.\n`
    terminal.out(json ? toJsonLine({ id: run, file, bytes }) : text)
    return 0
  })

/** `perdure import`: with `json` as `send` does. */
export const runImport = async (command: ImportCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('import', command, terminal, async (store) => {
    const { file, id: wanted, json = false } = command
    const source = file === '-' ? process.stdin : createReadStream(file)
    const { id } = await store.import(source, wanted === undefined ? {} : { id: wanted })
    const details = await store.run(id)
    const { kind, name, status, state, waitsFor } = details
    if (json) terminal.out(toJsonLine({ id, kind, name, status, state, waitsFor }))
    else {
      const text = toStateText(state)
      terminal.out(
        `Imported ${toSafeText(id)}: ${kind} ${toSafeText(name)}, ${toStatusText(details)}${text === '' ? '' : ` in ${text}`}.\n`,
      )
      if (status === 'running') terminal.out(`${terminal.theme.dim(toHint(kind, id))}\n`)
    }
    return 0
  })

const toHint = (kind: string, id: string): string =>
  kind === 'machine'
    ? `Nothing of it goes on by itself. \`perdure resume ${toSafeText(id)} --app …\` lets it.`
    : 'It goes on when its app asks for it.'

/** `order/7` becomes `order-7.perdure`. */
const toFileName = (run: string): string =>
  `${
    run
      .replace(/[^\w.@=+-]+/g, '-')
      .replace(/^\.+/, '')
      .slice(0, 100) || 'run'
  }.perdure`
