import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** What a child told, and how many milliseconds after it was started. */
export interface Told {
  readonly ms: number
  readonly line: string
}

/** Starts a program of this folder, with the conditions of this process, and resolves with the first line that it prints. */
export async function startChild(
  program: string,
  ...args: readonly string[]
): Promise<{ readonly child: ChildProcess; readonly told: Told }> {
  const path = fileURLToPath(new URL(program, import.meta.url))
  const startedAt = performance.now()
  const child = spawn(process.execPath, [...process.execArgv, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const line = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve)
    child.once('error', reject)
    child.once('close', (code, signal) => reject(new Error(`${program} ended with ${signal ?? code} and said nothing`)))
  })
  return { child, told: { ms: performance.now() - startedAt, line } }
}

/** Resolves when it has ended. */
export async function endChild(child: ChildProcess, signal?: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = new Promise((resolve) => child.once('close', resolve))
  if (signal !== undefined) child.kill(signal)
  await closed
}
