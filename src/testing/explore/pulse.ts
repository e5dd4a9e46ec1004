/**
 * What happens in a life as far as it can be seen: the operations of its store, its effects, its events. When nothing of that is under way and a few turns of the
 * event loop bring nothing new, only time can bring something.
 */
export interface Pulse {
  /** How often something happened. */
  readonly beats: number
  /** How much is under way that ends by itself. */
  readonly pending: number
  beat(): void
  /** Something began that ends by itself; call what is returned once at its end. */
  begin(): () => void
  /** Calls `fn` once at the next beat. */
  onBeat(fn: () => void): void
}

export function createPulse(): Pulse {
  let beats = 0
  let pending = 0
  let waiting: (() => void) | undefined
  const beat = (): void => {
    beats++
    const fn = waiting
    waiting = undefined
    fn?.()
  }
  return {
    get beats() {
      return beats
    },
    get pending() {
      return pending
    },
    beat,
    begin() {
      pending++
      beat()
      return () => {
        pending--
        beat()
      }
    },
    onBeat(fn) {
      waiting = fn
    },
  }
}
