import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** What the outside tells `machine-app.ts`. */
export interface Task {
  /** How many runs were acknowledged as started. */
  readonly started: number
  /** The numbers of the events that each counter has acknowledged. */
  readonly acknowledged: Readonly<Record<string, readonly number[]>>
  /** Whether runs are dropped from memory at each opportunity. */
  readonly passivate: boolean
}

/** What `machine-app.ts` says. */
export type Said =
  | { readonly type: 'open' }
  | { readonly type: 'started' }
  | { readonly type: 'acknowledged'; readonly id: string; readonly n: number }
  | { readonly type: 'settled'; readonly key: string }
  | { readonly type: 'wrong'; readonly what: string }
  | { readonly type: 'result'; readonly outputs: Readonly<Record<string, unknown>> }

export interface Life {
  readonly killed: boolean
  readonly said: readonly Said[]
}

/** When it is killed: after it has said `lines` lines and `delayMs` more; 0 lines: that long after it was born. */
export interface Fate {
  readonly lines: number
  readonly delayMs: number
}

export const app = fileURLToPath(new URL('./machine-app.ts', import.meta.url))
/** How long a life may take that nothing disturbs: a bound for a broken build. */
const MOST_MS = 60_000

/** Runs `machine-app.ts` and kills it by SIGKILL; without a fate it lives to its end. `cache`: where Node keeps compiled code. */
export function live(directory: string, effects: string, task: Task, cache: string, fate?: Fate): Promise<Life> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      ['--conditions=perdure/source', '--no-warnings', app, directory, effects, JSON.stringify(task)],
      { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: cache } },
    )
    const said: Said[] = []
    let text = ''
    let errors = ''
    let isLate = false
    const kill = (): void => void child.kill('SIGKILL')
    const bound = setTimeout(() => {
      isLate = true
      kill()
    }, MOST_MS)
    if (fate?.lines === 0) setTimeout(kill, fate.delayMs)
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      errors += chunk
    })
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const complete = text.split('\n')
      text = complete.pop() ?? ''
      for (const line of complete) {
        said.push(JSON.parse(line) as Said) // the program wrote it
        if (said.length === fate?.lines) setTimeout(kill, fate.delayMs)
      }
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(bound)
      if (isLate) reject(new Error(`The program came to no end. It said last: ${JSON.stringify(said.slice(-5))}. ${errors}`))
      else if (signal === 'SIGKILL') resolve({ killed: true, said })
      else if (code === 0) resolve({ killed: false, said })
      else reject(new Error(`The program ended with ${code}: ${errors}`))
    })
  })
}
