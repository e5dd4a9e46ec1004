import type { Observer, Subscribable } from 'xstate'

/** The least that XState asks of an observable: gives out `values` one after the other, each behind its gate, then completes. A gate that rejects is its error. */
export function fromValues<T>(values: readonly T[], gate: (index: number) => Promise<void>): Subscribable<T> {
  return {
    subscribe(nextOrObserver: Observer<T> | ((value: T) => void)) {
      const observer = typeof nextOrObserver === 'function' ? { next: nextOrObserver } : nextOrObserver
      let isOpen = true
      const run = async (): Promise<void> => {
        try {
          for (const [index, value] of values.entries()) {
            await gate(index)
            if (isOpen) observer.next?.(value)
          }
          if (isOpen) observer.complete?.()
        } catch (error) {
          if (isOpen) observer.error?.(error)
        }
      }
      void run()
      return {
        unsubscribe() {
          isOpen = false
        },
      }
    },
  }
}
