import { nearest } from '../actors/nearest.ts'
import { toMermaid } from '../observe/mermaid.ts'
import { toStudioJson } from '../observe/studio-json.ts'
import { loadMachines } from './app.ts'
import { type ExitCode, runOffline, type Terminal, toJsonLine } from './command.ts'

export interface MachineCommand {
  /** The id of a machine. */
  readonly name: string
  /** A module that exports `machines`. */
  readonly app: string
  /** JSON for Stately Studio instead of Mermaid. */
  readonly json?: boolean | undefined
}

/** `perdure machine`: what a machine looks like, for a README or for Stately Studio. Needs no store. Of several versions, the last. */
export const runMachine = async ({ name, app, json = false }: MachineCommand, terminal: Terminal): Promise<ExitCode> =>
  runOffline('machine', terminal, async () => {
    const machines = (await loadMachines(app)).map((entry) => ('machine' in entry ? entry.machine : entry))
    const machine = machines.findLast(({ id }) => id === name)
    if (machine === undefined) {
      const ids = machines.map(({ id }) => id)
      const near = nearest(name, ids)
      const hint = near === undefined ? `There are: ${ids.join(', ') || 'none'}.` : `Did you mean \`${near}\`?`
      terminal.err(`perdure machine: There is no machine \`${name}\` in ${app}. ${hint}\n`)
      return 1
    }
    terminal.out(json ? toJsonLine(toStudioJson(machine)) : toMermaid(machine))
    return 0
  })
