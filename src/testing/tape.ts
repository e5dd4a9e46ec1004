import { orAborted } from './pause.ts'

/** A list that grows, and ends. Anybody may read it, from any place, also while it grows. */
export interface Tape<T> {
  readonly items: readonly T[]
  add(item: T): void
  end(): void
  /** Every item from this place on, up to the end. Throws the signal's reason when it aborts. */
  read(from: number, signal: AbortSignal): AsyncGenerator<T, void>
}

/** An empty tape. */
export function createTape<T>(): Tape<T> {
  const items: T[] = []
  let isEnded = false
  let grown = Promise.withResolvers<void>()
  const wake = (): void => {
    grown.resolve()
    grown = Promise.withResolvers()
  }
  return {
    items,
    add(item) {
      items.push(item)
      wake()
    },
    end() {
      isEnded = true
      wake()
    },
    async *read(from, signal) {
      for (let at = from; ; ) {
        const more = grown.promise
        for (const item of items.slice(at)) {
          signal.throwIfAborted()
          yield item
          at += 1
        }
        signal.throwIfAborted()
        if (at < items.length) continue
        if (isEnded) return
        await orAborted(more, signal)
      }
    },
  }
}
