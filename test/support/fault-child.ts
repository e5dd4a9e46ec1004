import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Where `fault-app.ts` can be made to stay. */
export type Hold = 'model' | 'tool' | 'step' | 'approval' | 'question' | 'sleep'

/** What `fault-app.ts` is told. What was acknowledged is not asked for again. */
export interface Task {
  /** Which life of the world it is, from 1. */
  readonly life: number
  readonly started: readonly string[]
  /** By counter: the numbers of the events that it acknowledged. */
  readonly acknowledged: Readonly<Record<string, readonly number[]>>
  /** How many events each counter is sent. */
  readonly events: number
  /** How much each event carries. */
  readonly padBytes: number
  /** Turns of the flow. */
  readonly rounds: number
  readonly sleepMs: number
  /** How long a counter rests before it is done. */
  readonly restMs: number
  readonly hold?: Hold | undefined
  /** A signal at which it closes its runtime, as a service does. */
  readonly closesOn?: 'SIGTERM' | 'SIGINT' | undefined
  /** How long it does not let its event loop turn. */
  readonly blockMs?: number | undefined
  /** A model server, in place of the model in the process. */
  readonly url?: string | undefined
  readonly retries: number
}

/** What `fault-app.ts` says. */
export type Said =
  | { readonly type: 'open' | 'closed' }
  | { readonly type: 'started'; readonly id: string }
  | { readonly type: 'acknowledged'; readonly id: string; readonly n: number }
  | { readonly type: 'settled'; readonly name: string }
  | { readonly type: 'answered'; readonly id: string }
  | { readonly type: 'at'; readonly moment: Hold | 'blocked' }
  | { readonly type: 'blocked'; readonly run: string; readonly code: string }
  | { readonly type: 'dropped'; readonly run: string }
  | { readonly type: 'result'; readonly outputs: unknown }
  | { readonly type: 'stopped'; readonly code: string; readonly message: string }

/** A line of the file of effects. */
export interface Did {
  readonly life: number
  readonly name: string
  readonly at: number
}

export interface Life {
  readonly life: number
  readonly said: readonly Said[]
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
}

/** A life while it lasts: the program and the command that wraps it, if any, which may have started it as a child of its own. */
export interface Living {
  kill(signal: NodeJS.Signals): void
  /** Stops all its threads and returns when they stand: what it was writing is written, and what it had said is in its pipe. Not for a program with a wrapper. */
  freeze(): void
}

export interface LifeOptions {
  /** A command to run it under, such as `strace`. */
  readonly wrapper?: readonly string[] | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly nodeOptions?: readonly string[] | undefined
  /** Hears each thing that it says. */
  readonly onSaid?: ((said: Said, living: Living) => void) | undefined
}

export const faultApp = fileURLToPath(new URL('./fault-app.ts', import.meta.url))
/** How long a life may take: a bound for a broken build. */
const MOST_MS = 30_000

/** Lives `fault-app.ts` once. */
export function liveOnce(directory: string, effects: string, task: Task, options: LifeOptions = {}): Promise<Life> {
  const { wrapper = [], env = {}, nodeOptions = [], onSaid } = options
  const own = [process.execPath, '--conditions=perdure/source', '--no-warnings', ...nodeOptions, faultApp]
  const [command = '', ...args] = [...wrapper, ...own, directory, effects, JSON.stringify(task)]
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...env },
      detached: true, // a group of its own: see `Living`
    })
    const said: Said[] = []
    let rest = ''
    let stderr = ''
    let isLate = false
    const living: Living = {
      kill(signal) {
        const isOver = child.exitCode !== null || child.signalCode !== null
        if (child.pid !== undefined && !isOver) process.kill(-child.pid, signal)
      },
      freeze() {
        living.kill('SIGSTOP')
        while (child.pid !== undefined && !isStopped(child.pid)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      },
    }
    const bound = setTimeout(() => {
      isLate = true
      living.kill('SIGKILL')
    }, MOST_MS)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const one = JSON.parse(line) as Said // the program wrote it
        said.push(one)
        onSaid?.(one, living)
      }
    })
    child.once('error', reject)
    child.once('close', (exitCode, signal) => {
      clearTimeout(bound)
      if (isLate) reject(new Error(`Life ${task.life} came to no end; last: ${JSON.stringify(said.slice(-4))} ${stderr}`))
      else resolve({ life: task.life, said, exitCode, signal, stderr })
    })
  })
}

/** Whether no thread of a process runs, nor is in the middle of a call of the system. */
function isStopped(pid: number): boolean {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.every((thread) => /^State:\s+[TtZX]/m.test(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')))
}

/** The effects, in their order. A line that a death cut off is none. */
export const readEffects = (effects: string): Did[] =>
  readFileSync(effects, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Did) // `fault-app.ts` wrote it
