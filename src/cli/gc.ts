import { toBytes, toCount } from '../observe/quantity.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'

export interface GcCommand extends StoreOptions {
  /** Removes runs that ended longer ago. */
  readonly olderThan?: number | undefined
  /** Keeps that many of those that have ended. */
  readonly keep?: number | undefined
}

/** `perdure gc`: removes what nobody needs. With `json` one object. `1`: the store is damaged, and what seems of no use was left. */
export const runGc = async (command: GcCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('gc', command, terminal, async (store) => {
    const { olderThan, keep, json = false } = command
    const collected = await store.gc({
      ...(olderThan !== undefined && { maxAgeMs: olderThan }),
      ...(keep !== undefined && { maxRuns: keep }),
    })
    const { runs, remains, indexEntries, folders, damaged, before, after } = collected
    if (json) terminal.out(toJsonLine(collected))
    else {
      const removed = [
        runs === 0 ? [] : [toCount(runs, 'ended run')],
        remains === 0 ? [] : [`${toCount(remains, 'remain')} of deleted runs`],
        indexEntries === 0 ? [] : [`${toCount(indexEntries, 'stale key')} of indexes`],
        folders === 0 ? [] : [`${toCount(folders, 'folder')} of commands`],
      ].flat()
      terminal.out(
        `Removed ${removed.length === 0 ? 'nothing' : removed.join(', ')}. ${toBytes(before)} on disk before, ${toBytes(after)} now.\n`,
      )
      if (damaged > 0)
        terminal.err(
          'The store is damaged, so nothing was removed that may belong to what cannot be read. See `perdure verify`.\n',
        )
    }
    return damaged === 0 ? 0 : 1
  })
