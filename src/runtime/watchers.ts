import type { AnyMachineSnapshot, EventObject } from 'xstate'
import type { Head } from '../persistence/run-log.ts'

/** How a run came to its end. */
export interface RunEnd {
  readonly head: Head
  readonly snapshot: AnyMachineSnapshot | undefined
}

/** What hears of one run. It hears only what is on disk. */
export interface Watcher {
  readonly onSnapshot?: (snapshot: AnyMachineSnapshot) => void
  readonly onEmitted?: (event: EventObject) => void
  readonly onEnd?: (end: RunEnd) => void
  /** The run cannot go on in this process: it is damaged, incompatible, or the store is closed. */
  readonly onError?: (error: unknown) => void
}

/** Who watches which run. Kept apart from the activations: to wait for a run does not keep it in memory. */
export interface Watchers {
  add(runId: string, watcher: Watcher): () => void
  of(runId: string): ReadonlySet<Watcher> | undefined
  /** Every watcher of every run hears the error. */
  fail(error: unknown): void
}

export function createWatchers(): Watchers {
  const runs = new Map<string, Set<Watcher>>()
  return {
    add(runId, watcher) {
      const watchers = runs.get(runId) ?? new Set()
      runs.set(runId, watchers)
      watchers.add(watcher)
      return () => {
        watchers.delete(watcher)
        if (watchers.size === 0 && runs.get(runId) === watchers) runs.delete(runId)
      }
    },
    of: (runId) => runs.get(runId),
    fail(error) {
      for (const watchers of [...runs.values()]) for (const watcher of [...watchers]) watcher.onError?.(error)
    },
  }
}
