import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '../../src/actors/command.ts'
import { readClaim, readCommandIdentity } from '../../src/actors/command-files.ts'
import type { OnOutput } from '../../src/actors/output-reader.ts'
import { removeCommands, superviseCommand } from '../../src/actors/supervised-command.ts'
import { PerdureError } from '../../src/errors.ts'
import { eventually, isAlive } from './processes.ts'
import { createTempRoom } from './temp-room.ts'

/** A temporary folder to run supervised commands in; its maker removes it when the tests are done. */
export async function createCommandRoom() {
  const { root, path } = await createTempRoom()
  // A test that failed may have left some running.
  const remove = () => removeCommands(root)

  function toCommand(text: string, more: Partial<Command> = {}): Command {
    return {
      text,
      cwd: root,
      env: { PATH: process.env.PATH ?? '' },
      shell: true,
      timeoutMs: 60_000,
      maxOutputBytes: 65_536,
      ...more,
    }
  }

  function start(text: string, directory = path('call'), more: Partial<Command> = {}, onOutput?: OnOutput) {
    const controller = new AbortController()
    const ended = superviseCommand(toCommand(text, more), directory, 1, controller.signal, onOutput)
    ended.catch(() => {})
    return {
      directory,
      ended,
      abort: () => controller.abort(),
      suspend: () => controller.abort(new PerdureError('STORE_CLOSED', 'The store is closed')),
    }
  }

  /** The only folder of an attempt below `directory`. */
  function folderOf(directory: string): string {
    const [name = 'missing'] = existsSync(directory) ? readdirSync(directory) : []
    return join(directory, name)
  }

  /** The process ids of a command and its supervisor, once it runs. */
  function pidsOf(directory: string) {
    return eventually(`a command in ${directory}`, () => {
      const folder = folderOf(directory)
      const claim = existsSync(folder) ? readClaim(folder) : undefined
      const command = existsSync(folder) ? readCommandIdentity(folder) : undefined
      if (typeof claim !== 'object' || claim.state !== 'started' || command === undefined) return undefined
      return { supervisor: claim.supervisor.pid, command: command.pid }
    })
  }

  /** Waits for a line of numbers in a file. */
  const numbersIn = (file: string) =>
    eventually(`numbers in ${file}`, () => {
      const text = existsSync(file) ? readFileSync(file, 'utf8') : ''
      return text.endsWith('\n') ? text.trim().split(/\s+/).map(Number) : undefined
    })

  /** Waits until a supervisor has kept some output. */
  const printed = (directory: string, text: string) =>
    eventually(
      `${text} in ${directory}`,
      () => readFileSync(join(folderOf(directory), 'stdout'), 'utf8').includes(text) || undefined,
    )

  const dead = (...pids: readonly number[]) => eventually(`${pids} are dead`, () => !pids.some(isAlive) || undefined)

  return { root, path, remove, toCommand, start, folderOf, pidsOf, numbersIn, printed, dead }
}
