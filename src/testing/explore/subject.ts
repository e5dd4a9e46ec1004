import type { RuntimeSettings } from '../../runtime/open.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import type { Outside } from './outside.ts'

/**
 * One life of the program under test. It is called again after each death, with the same store: it begins what is new, goes on with what is there, and resolves
 * when all is done. It must come to the same whenever it is called on an empty store: no time of the system, nothing random, nothing of it kept outside of the
 * store and {@link CrashLife.outside}.
 */
export type CrashSubject<T = unknown> = (life: CrashLife) => Promise<T>

/** What a life of the program is given. */
export interface CrashLife {
  /** 1 for the first, one more after each death. */
  readonly number: number
  /** Opens the runtime of this life on the store under test, with a clock that takes no real time. Once a life; the explorer closes it. */
  open(options?: CrashRuntimeOptions): Promise<Runtime>
  readonly outside: Outside
}

/** How {@link CrashLife.open} opens the runtime: store, log and clock are the explorer's. */
export type CrashRuntimeOptions = Omit<RuntimeSettings, 'log' | 'clock' | 'signal'>
