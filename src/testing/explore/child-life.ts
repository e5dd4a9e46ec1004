import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ChildTask } from './child.ts'
import type { InstantDeath } from './schedule.ts'

/** A process that is over. */
export interface ChildLife {
  /** `failed`: it ended by itself, and not as a life does. */
  readonly end: 'died' | 'over' | 'late' | 'failed'
  /** What it wrote to its standard error, or the end of that. */
  readonly errors: string
  /** From when it began to open its store to its end, in milliseconds. */
  readonly lastedMs: number
}

const program = fileURLToPath(new URL(`./child${extname(import.meta.url)}`, import.meta.url))
/** How long loading the program and writing down its end may take. */
const STARTING_MS = 30_000
const ERROR_CHARACTERS = 4_000
/** Most of a life is loading: without garbage to collect meanwhile it takes a tenth less. */
const speed = '--min-semi-space-size=32'

/** Lives one life in a process of its own. `cache`: where Node keeps what it has compiled. */
export function liveInChild(task: ChildTask, cache: string, instant: InstantDeath | undefined): Promise<ChildLife> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...toExecArguments(process.execArgv), speed, program, JSON.stringify(task)], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: { ...process.env, NODE_COMPILE_CACHE: cache },
    })
    let errors = ''
    let begunAt: number | undefined
    let isLate = false
    const kill = (): void => void child.kill('SIGKILL')
    let timer: NodeJS.Timeout | undefined
    const bound = setTimeout(() => {
      isLate = true
      kill()
    }, task.timeoutMs + STARTING_MS)
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      errors = (errors + chunk).slice(-ERROR_CHARACTERS)
    })
    child.stdio[3]?.once('data', () => {
      begunAt = performance.now()
      if (instant !== undefined) timer = setTimeout(kill, instant.afterMs)
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(bound)
      clearTimeout(timer)
      const lastedMs = begunAt === undefined ? 0 : performance.now() - begunAt
      const end = isLate ? 'late' : signal === 'SIGKILL' ? 'died' : code === 0 && signal === null ? 'over' : 'failed'
      resolve({ end, errors, lastedMs })
    })
  })
}

/** What this process was started with and a program like it can be, too: not that it is tested, watched, debugged or given its code. */
export function toExecArguments(execArgv: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index < execArgv.length; index++) {
    const word = execArgv[index] ?? ''
    if (/^(-e|--eval|-p|--print)$/.test(word)) index++
    else if (!/^--(test|watch|inspect|cpu-prof|heap-prof|input-type|eval|print)(-|=|$)/.test(word)) kept.push(word)
  }
  return kept
}
