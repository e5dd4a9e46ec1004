import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { stepRange } from '../../src/persistence/keys.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
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
export const startOwner = (directory: string, mode: 'run' | 'wait' = 'wait'): Promise<Owner> =>
  startProgram(program, directory, mode)

/** Starts a program that owns a store; resolves when it says `ready`. */
export async function startProgram(file: string, directory: string, mode: string): Promise<Owner> {
  const args = ['--conditions=perdure/source', file, directory, mode]
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  if (child.pid === undefined || child.stdout === null) throw new Error(`${file} did not start`)
  const ended = once(child, 'exit')
  const first = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
  if (first.value !== 'ready') throw new Error(`${file} said ${String(first.value)}`)
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

/** Changes a step of `report/1` in a closed store, and lists a question that there is not. */
export async function damage(directory: string): Promise<string> {
  const store = await openLevelStore(directory)
  const entries = await toArray(store.entries(stepRange('report/1')))
  const [key, bytes] = entries.at(-1) ?? ['', new Uint8Array()]
  await store.write([
    { type: 'put', key, value: bytes.with(-1, (bytes.at(-1) ?? 0) ^ 1) },
    { type: 'put', key: 'q/nobody/x', value: new Uint8Array(1) },
  ])
  await store.close()
  return directory
}

export async function toArray<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
