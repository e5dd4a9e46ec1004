import { execFileSync } from 'node:child_process'

/** Why a test that needs these commands is skipped, or `false`. */
export function missing(...commands: readonly string[]): string | false {
  if (process.platform !== 'linux') return 'needs Linux'
  const gone = commands.filter((command) => !runs('sh', '-c', `command -v ${command}`))
  return gone.length > 0 && `needs ${gone.join(', ')}: scripts/install-fault-tools.sh`
}

/** Whether this command ends well here. */
export function runs(command: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: 10_000 })
    return true
  } catch {
    return false
  }
}

/** Why a test that traces a process and changes what its calls return is skipped, or `false`. */
export const noStrace: string | false =
  missing('strace') || (!runs('strace', '-qq', '-e', 'trace=none', 'true') && 'strace may not trace here')
