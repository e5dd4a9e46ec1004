import type { Connection } from '../management/client.ts'
import { toCount } from '../observe/quantity.ts'
import { toSafeText } from '../observe/safe-text.ts'
import {
  type CommandBody,
  type ExitCode,
  parseJson,
  parseValue,
  runCommand,
  type StoreOptions,
  type Terminal,
  toJsonLine,
} from './command.ts'
import { toStateText, toStatusText } from './run-text.ts'
import { untilChange } from './watch.ts'

/** The commands that change a run. What they say is on disk when they return. */

interface RunCommand extends StoreOptions {
  readonly run: string
}

export interface SendCommand extends RunCommand {
  /** The type of the event, or all of it as JSON. */
  readonly event: string
  /** What else is in the event, as JSON. */
  readonly data?: string | undefined
  readonly id?: string | undefined
}

export interface ResumeCommand extends StoreOptions {
  /** Default: all that have something to do. */
  readonly run?: string | undefined
}

export interface CancelCommand extends RunCommand {
  readonly reason?: string | undefined
}

export interface SettleCommand extends RunCommand {
  readonly step: string
  /** What the step returned: JSON, or a text. */
  readonly result?: string | undefined
  /** What it failed with. */
  readonly error?: string | undefined
}

export interface DeleteCommand extends RunCommand {
  readonly yes?: boolean | undefined
}

export const runSend = async (command: SendCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('send', command, terminal, async (store) => {
    const { run, id } = command
    await store.send(run, toEvent(command), id === undefined ? {} : { id })
    await untilQuiet(store, [run], terminal)
    return tellRun(store, command, terminal)
  })

export const runResume = async (command: ResumeCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('resume', command, terminal, async (store) => {
    const { run } = command
    await store.resume(run)
    if (run !== undefined) {
      await untilQuiet(store, [run], terminal)
      return tellRun(store, { ...command, run }, terminal)
    }
    const running: string[] = []
    for await (const found of store.runs({ status: 'running', kind: 'machine' })) running.push(found.id)
    await untilQuiet(store, running, terminal)
    if (command.json !== true) terminal.out(`${running.length} live runs of machines.\n`)
    return 0
  })

export const runCancel = async (command: CancelCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('cancel', command, terminal, async (store) => {
    await store.cancel(command.run, command.reason)
    return tellRun(store, command, terminal)
  })

export const runSettle = async (command: SettleCommand, terminal: Terminal): Promise<ExitCode> => {
  const { run, step, result, error } = command
  const body: CommandBody = async (store) => {
    if ((result === undefined) === (error === undefined)) throw new TypeError('Expected either --result or --error')
    await store.settle(run, step, result === undefined ? { error: error ?? '' } : { result: parseValue(result) })
    return tellRun(store, command, terminal)
  }
  return runCommand('settle', command, terminal, body)
}

export const runDelete = async (command: DeleteCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('delete', command, terminal, async (store) => {
    const { run, yes = false, json = false } = command
    const details = await store.run(run)
    if (!yes) {
      const within = details.children.length === 0 ? '' : `, with ${toCount(details.children.length, 'run')} that belong to it,`
      terminal.err(
        `Nothing was deleted. \`${toSafeText(run)}\` (${details.status})${within} would be gone for good: say --yes.\n`,
      )
      return 2
    }
    const isDeleted = await store.delete(run)
    terminal.out(json ? toJsonLine({ id: run, deleted: isDeleted }) : `Deleted ${toSafeText(run)}.\n`)
    return 0
  })

/** Errors: a `TypeError`. */
function toEvent({ event, data }: SendCommand): { readonly type: string } {
  const extra = data === undefined ? {} : parseJson('--data', data)
  const base = event.startsWith('{') ? parseJson('EVENT', event) : { type: event }
  if (typeof base !== 'object' || base === null || !('type' in base) || typeof base.type !== 'string')
    throw new TypeError('Expected EVENT to be the type of an event, or an object with a `type` as JSON')
  if (typeof extra !== 'object' || extra === null || Array.isArray(extra))
    throw new TypeError('Expected --data to be an object as JSON')
  return { ...base, ...extra, type: base.type }
}

/** While this process has the store open, what is under way would be cut off when it ends: it stays until nothing is. */
async function untilQuiet(store: Connection, ids: readonly string[], { signal, now, err }: Terminal): Promise<void> {
  const { owner } = await store.info()
  if (owner.pid !== process.pid) return
  let isTold = false
  for (const id of ids)
    for (;;) {
      const { status, wakeAt, pending } = await store.run(id)
      const isBusy = status === 'running' && pending === 0 && wakeAt !== undefined && wakeAt <= now()
      if (!isBusy || signal.aborted) break
      if (!isTold) err(`Works here on ${toSafeText(id)}: no other process has the store open. Ctrl-C leaves it as it is.\n`)
      isTold = true
      await untilChange(store, signal)
    }
}

async function tellRun(store: Connection, { run, json = false }: RunCommand, { out }: Terminal): Promise<ExitCode> {
  const details = await store.run(run)
  const { id, kind, name, status, state, waitsFor } = details
  const text = toStateText(state)
  if (json) out(toJsonLine({ id, kind, name, status, state, waitsFor }))
  else
    out(
      `${toSafeText(id)} ${toStatusText(details)}${text === '' ? '' : ` in ${text}`}${waitsFor === undefined ? '' : ` for ${toSafeText(waitsFor)}`}\n`,
    )
  return 0
}
