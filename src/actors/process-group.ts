import { readdir, readFile } from 'node:fs/promises'
import { parseStat } from './process-identity.ts'

/** How long a group may take to end by itself after SIGTERM. */
const killGraceMs = 2_000
/** How long to wait for the kernel to remove a group after SIGKILL. */
const removalMs = 1_000
const pollMs = 10
const pollsPerInspection = 20

/**
 * Ends every process of a group: SIGTERM, and after 2 seconds SIGKILL. Resolves once the group is gone, with `true`; with
 * `false` when a second after SIGKILL something of it still lives: a process of another user (`sudo`). POSIX only.
 *
 * @param groupId the process id of the group's leader. A group keeps its id while any of its processes lives.
 */
export async function endGroup(groupId: number): Promise<boolean> {
  signalGroup(groupId, 'SIGTERM')
  if (await isGoneWithin(groupId, killGraceMs)) return true
  signalGroup(groupId, 'SIGKILL')
  return isGoneWithin(groupId, removalMs)
}

async function isGoneWithin(groupId: number, timeMs: number): Promise<boolean> {
  const deadline = performance.now() + timeMs
  // Nobody is told when a grandchild dies, so asking again is the only way to know.
  for (let polls = 1; signalGroup(groupId, 0); polls++) {
    if (polls % pollsPerInspection === 0 && (await isDead(groupId))) return true
    if (performance.now() >= deadline) return false
    await new Promise((resolve) => setTimeout(resolve, pollMs))
  }
  return true
}

/**
 * Tells, on Linux, whether all that is left of a group is zombies. In a container whose first process does not clear away dead
 * orphans, a group that had any never disappears.
 */
async function isDead(groupId: number): Promise<boolean> {
  if (process.platform !== 'linux') return false
  const names = await readdir('/proc').catch(() => [])
  const pids = names.filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')))
  const members = stats.map(parseStat).filter((stat) => stat?.group === groupId)
  return members.length > 0 && members.every((stat) => stat?.state === 'Z' || stat?.state === 'X')
}

/** Returns `false` when there is no such group. */
function signalGroup(groupId: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-groupId, signal)
  } catch (error) {
    // EPERM: it is there, but belongs to another user.
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}
