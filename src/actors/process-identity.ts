import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A process, told apart from every other one that has had or will have its number. */
export interface ProcessIdentity {
  readonly pid: number
  /** When it started, in the system's own words; to be compared only. */
  readonly startedAt: string
  /** The boot of the system that it runs in; empty where the start is a time of day. */
  readonly boot: string
}

/** What is seen of a process. */
interface Sighting {
  readonly identity: ProcessIdentity
  /** It has ended, but nobody has asked for its exit status yet. */
  readonly isZombie: boolean
}

/**
 * The identity of the process `pid`; `undefined` when there is none, and on systems where it cannot be told (all but Linux and macOS). A child
 * that has ended has one until its parent hears of it.
 */
export const readIdentity = (pid: number): ProcessIdentity | undefined => look(pid)?.identity

/** Whether exactly this process still lives: not another one that was given its number, and not a zombie. */
export function isRunning({ pid, startedAt, boot }: ProcessIdentity): boolean {
  const found = look(pid)
  return found !== undefined && !found.isZombie && found.identity.startedAt === startedAt && found.identity.boot === boot
}

/** Signals exactly this process; one that is gone, or belongs to another user by now, is not. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isRunning(identity)) return
  try {
    process.kill(identity.pid, signal)
  } catch {
    // It has ended since.
  }
}

/** Whether `identity` is of an earlier boot of the system than this one, so that nothing of it can live. */
export function isOfEarlierBoot(identity: ProcessIdentity): boolean {
  const own = readIdentity(process.pid)
  return own !== undefined && own.boot !== identity.boot
}

/** Reads an identity from parsed JSON. */
export function parseIdentity(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null || !('pid' in value && 'startedAt' in value && 'boot' in value))
    return undefined
  const { pid, startedAt, boot } = value
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 2) return undefined
  return typeof startedAt === 'string' && typeof boot === 'string' ? { pid, startedAt, boot } : undefined
}

/** What Linux tells about a process, as far as it matters here. */
interface ProcessStat {
  readonly state: string
  readonly group: number
  readonly session: number
  /** Clock ticks since the boot. */
  readonly startedAt: string
}

/** Reads `pid (name) state parent group session …`; the name may hold spaces and parentheses. */
export function parseStat(stat: string): ProcessStat | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, , group, session] = fields
  const startedAt = fields[19]
  if (state === undefined || startedAt === undefined) return undefined
  return { state, group: Number(group), session: Number(session), startedAt }
}

function look(pid: number): Sighting | undefined {
  if (process.platform === 'linux') return lookOnLinux(pid)
  return process.platform === 'darwin' ? lookOnMac(pid) : undefined
}

function lookOnLinux(pid: number): Sighting | undefined {
  try {
    const stat = parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
    if (stat === undefined) return undefined
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
    return { identity: { pid, startedAt: stat.startedAt, boot }, isZombie: stat.state === 'Z' || stat.state === 'X' }
  } catch {
    // There is no such process, or no /proc.
    return undefined
  }
}

function lookOnMac(pid: number): Sighting | undefined {
  try {
    // The time is written in the zone and language of the environment: both are fixed.
    const text = execFileSync('/bin/ps', ['-o', 'stat=,lstart=', '-p', `${pid}`], {
      env: { LC_ALL: 'C', TZ: 'UTC' },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [, state = 'Z', startedAt] = /^(\S+)\s+(.+?)\s*$/.exec(text) ?? []
    return startedAt === undefined ? undefined : { identity: { pid, startedAt, boot: '' }, isZombie: state.startsWith('Z') }
  } catch {
    // `ps` fails when there is no such process.
    return undefined
  }
}
