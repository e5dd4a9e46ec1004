import type { RuntimeOptions } from 'perdure'
import { createReporter } from '../../src/observe/reporter.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createRuntime, type Runtime } from '../../src/runtime/runtime.ts'

/** What happens before the store does something; what it throws, the store throws. */
export interface Hooks {
  write?(operations: readonly Operation[]): void | Promise<void>
  read?(key: string): void | Promise<void>
}

/** A store in memory that outlives the runtimes which open it, and fails and waits as a test wants it. */
export async function createHookedStore() {
  const memory = await openMemoryStore()
  let epoch = 0
  return {
    async keys(): Promise<string[]> {
      const keys: string[] = []
      for await (const [key] of memory.entries({ gte: '"', lt: '\u{10ffff}' })) keys.push(key)
      return keys
    },
    open(machines: NonNullable<RuntimeOptions['machines']>, hooks: Hooks = {}, autoResume = true): Runtime {
      const store: Store = {
        location: 'memory',
        epoch: ++epoch,
        async get(key) {
          await hooks.read?.(key)
          return memory.get(key)
        },
        getMany: (keys) => memory.getMany(keys),
        async *entries(range) {
          await hooks.read?.(range.gte)
          yield* memory.entries(range)
        },
        async write(operations, options) {
          await hooks.write?.(operations)
          await memory.write(operations, options)
        },
        compact: async () => {},
        close: async () => {},
        [Symbol.asyncDispose]: async () => {},
      }
      return createRuntime({
        store,
        durability: 'disk',
        clock: systemClock,
        machines,
        autoResume,
        resumeConcurrency: 32,
        idle: { afterMs: 30_000, maxIdle: 1_000 },
        retention: undefined,
        inspect: undefined,
        onEvent: undefined,
        reporter: createReporter({ format: 'silent' }),
      })
    },
  }
}
