import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { openCrew, runCrew } from './managed-crew.ts'
import { createTempRoom } from './temp-room.ts'

const program = fileURLToPath(new URL('./managed-app.ts', import.meta.url))

/** A process that has a store open. */
export interface Owner {
  readonly pid: number
  /** SIGKILL; resolves when it is gone. */
  readonly kill: () => Promise<void>
  /** Lets it close its store and end. */
  readonly finish: () => Promise<void>
}

/** Starts `managed-app.ts` on a directory; resolves when it has the store open. */
export async function startOwner(directory: string, mode: 'run' | 'wait' = 'wait'): Promise<Owner> {
  const args = ['--conditions=perdure/source', program, directory, mode]
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  if (child.pid === undefined || child.stdout === null) throw new Error(`${program} did not start`)
  const ended = once(child, 'exit')
  const first = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
  if (first.value !== 'ready') throw new Error(`${program} said ${String(first.value)}`)
  return {
    pid: child.pid,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async finish() {
      child.stdin?.end()
      await ended
    },
  }
}

/** Where the crew has been: each call gives another copy of its store, closed. */
export async function createManagedRoom() {
  const room = await createTempRoom()
  const original = room.path('crew')
  const runtime = await openCrew(original)
  const { waiting } = await runCrew(runtime)
  await runtime.close()
  await waiting
  return {
    path: room.path,
    remove: room.remove,
    async copy(): Promise<string> {
      const directory = room.path('copy')
      await cp(original, directory, { recursive: true })
      return directory
    },
  }
}

export async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
