import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./store-process.ts', import.meta.url))

/** A second process that has a store, as a test sees it. */
export interface StoreChild {
  readonly pid: number
  /** What it says, line by line, until it ends. */
  readonly lines: AsyncIterableIterator<string>
  /** The next line; `undefined` when it has ended. */
  readonly line: () => Promise<string | undefined>
  /** Gives it a line of input. */
  readonly tell: (line: string) => void
  /** SIGSTOP, and SIGCONT: it sleeps in between. */
  readonly pause: () => void
  readonly wake: () => void
  /** SIGKILL, to the process itself. Its `lines` still yield what it said before. */
  readonly kill: () => void
  /** Lets it close its store and end. */
  readonly finish: () => Promise<void>
}

/** Starts `store-process.ts` on a directory; `wrapper` is a command to run it under, such as strace. */
export function startStoreChild(directory: string, task: 'hold' | 'write' | 'obey', wrapper: readonly string[] = []): StoreChild {
  const [command = process.execPath, ...args] = [...wrapper, process.execPath, program, directory, task]
  // strace counts calls per thread: with one, the n-th call is the n-th of the store.
  const env = wrapper.length === 0 ? process.env : { ...process.env, UV_THREADPOOL_SIZE: '1' }
  const child: ChildProcess = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env })
  if (child.pid === undefined || child.stdout === null) throw new Error(`${command} did not start`)
  const ended = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    pid: child.pid,
    lines,
    line: async () => {
      const next = await lines.next()
      return next.done === true ? undefined : next.value
    },
    tell: (line) => void child.stdin?.write(`${line}\n`),
    pause: () => void child.kill('SIGSTOP'),
    wake: () => void child.kill('SIGCONT'),
    kill: () => void child.kill('SIGKILL'),
    finish: async () => {
      child.stdin?.end()
      await ended
    },
  }
}

/**
 * Breaks the lock of an open store, as a person does who takes its owner for dead, and opens it in another process, which has it
 * until it is told to finish.
 */
export async function takeOver(directory: string, task: 'hold' | 'obey' = 'hold'): Promise<StoreChild> {
  await rm(join(directory, 'LOCK'))
  const child = startStoreChild(directory, task)
  assert.equal(await child.line(), 'open')
  return child
}
