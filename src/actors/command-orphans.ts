import { readdir, readFile } from 'node:fs/promises'
import { markName, readCommandIdentity, toMark } from './command-files.ts'
import { endGroup } from './process-group.ts'
import { isOfEarlierBoot, isRunning, parseStat } from './process-identity.ts'

/**
 * Ends what still runs of a command whose supervisor is gone: nobody would learn how it ended. Resolves with whether nothing of it is left.
 * Only processes that are certainly of this command are ended: its own process by its identity, and on Linux the others of its session by
 * the mark in their environment.
 */
export async function endOrphans(folder: string): Promise<boolean> {
  const command = readCommandIdentity(folder)
  if (command !== undefined && isOfEarlierBoot(command)) return true
  const groups = new Set(process.platform === 'linux' ? await findMarkedGroups(toMark(folder), command?.pid) : [])
  if (command !== undefined && isRunning(command)) groups.add(command.pid)
  const ended = await Promise.all([...groups].map(endGroup))
  return ended.every(Boolean)
}

/** The groups of the processes that have the mark and, when it is known, the session. */
async function findMarkedGroups(mark: string, session: number | undefined): Promise<readonly number[]> {
  const names = await readdir('/proc').catch(() => [])
  const groups = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map((pid) => findMarkedGroup(pid, mark, session)))
  return groups.filter((group) => group !== undefined)
}

async function findMarkedGroup(pid: string, mark: string, session: number | undefined): Promise<number | undefined> {
  // A process of another user cannot be read, and could not be ended either.
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')
  if (!environment.split('\0').includes(`${markName}=${mark}`)) return undefined
  const stat = parseStat(await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ''))
  if (stat === undefined || stat.group < 2) return undefined
  return session === undefined || stat.session === session ? stat.group : undefined
}
