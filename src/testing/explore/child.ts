/**
 * The program of a life that is a process of its own. It ends by SIGKILL at the write that it is told, or is killed from outside at any moment; else it says how it
 * ended. Who started it finds everything in the files that it leaves: see `ChildTask`.
 */
import { writeFileSync, writeSync } from 'node:fs'
import { serialize } from 'node:v8'
import { toMessage } from '../../errors.ts'
import { openLevelStore } from '../../persistence/leveldb.ts'
import { leaseStore } from './leased-store.ts'
import { type Life, live } from './life.ts'
import { openOutsideFile } from './outside-file.ts'
import { createRandom } from './random.ts'
import type { WriteDeath } from './schedule.ts'
import { writeDump } from './store-dump.ts'
import type { CrashSubject } from './subject.ts'

/** What a process is to live: see `LifeRoom`. */
export interface ChildTask {
  /** The URL of a module that exports `subject`. */
  readonly module: string
  /** Where its store is. */
  readonly directory: string
  /** What it leaves: what was seen outside; what the store held before and after; what the subject resolved with. */
  readonly files: Readonly<Record<'outside' | 'before' | 'after' | 'output', string>>
  readonly number: number
  readonly now: number
  readonly acknowledged: readonly string[]
  readonly fate: WriteDeath | undefined
  /** The seed of `Math.random`. */
  readonly random: number
  readonly timeoutMs: number
}

const { module, directory, files, random, ...task } = JSON.parse(process.argv[2] ?? '') as ChildTask // of `process-scenario.ts`
const { subject } = (await import(module)) as { readonly subject: CrashSubject } // checked by whoever explores it
const outside = openOutsideFile(files.outside)
writeSync(3, 'begun') // fd 3: to whoever kills it at an instant
const store = await openLevelStore(directory)
await writeDump(store, files.before)
let { now } = task
Math.random = createRandom(random)

const { end, writes }: Life = await live(subject, {
  ...task,
  store: leaseStore(store, store.epoch),
  time: {
    get now() {
      return now
    },
    set now(time) {
      now = time
      outside.add({ type: 'time', now })
    },
  },
  acknowledged: new Set(task.acknowledged),
  see: outside.add,
  unlock(keys) {
    outside.add({ type: 'unlocked', keys: keys.map((key) => Buffer.from(key).toString('base64')) })
  },
  onDeath() {
    process.kill(process.pid, 'SIGKILL')
    for (;;); // not one more instruction of the program
  },
})
if (end.type === 'resolved') writeFileSync(files.output, serialize(end.output))
await writeDump(store, files.after)
await store.close()
if (end.type === 'rejected') outside.add({ type: 'end', end: 'rejected', writes, message: toMessage(end.error) })
else if (end.type !== 'died') outside.add({ type: 'end', end: end.type, writes })
process.exit()
