import { type ExitCode, runCommand, type StoreOptions, type Terminal } from './command.ts'

/** For the completion of shells: ids that stand in one word, some of them. */
const LIMIT = 500

/** `perdure run-ids`: the ids of runs, one a line. */
export const runIds = async (options: StoreOptions, terminal: Terminal): Promise<ExitCode> =>
  runCommand('run-ids', options, terminal, async (store) => {
    for await (const { id } of store.runs({ limit: LIMIT })) if (/^[\w./:@%+=-]+$/.test(id)) terminal.out(`${id}\n`)
    return 0
  })
