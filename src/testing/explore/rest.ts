import type { Pulse } from './pulse.ts'

/** How many turns of the event loop without a beat are rest. What needs no outside world is a chain of promises: it runs to its end within one. */
const TURNS = 4
/** How long the process may wait for what the pulse does not know (a file, a socket, a timer of the system) until only time is waited for. */
const GRACE_MS = 50
/** How long nothing must have happened until a life is stuck: what is under way in threads cannot be seen. */
const STUCK_MS = 50

/** Calls `onRest` each time when nothing is under way. If it returns false, nothing comes of rest either: then `onStuck` follows. Returns how to stop. */
export function awaitRest(
  pulse: Pulse,
  { onRest, onStuck }: { readonly onRest: () => boolean; readonly onStuck: () => void },
): () => void {
  void process.stderr // opened by whoever asks for it first, as a runtime does: not what a life waits for
  const before = process.getActiveResourcesInfo().length
  /** What was there all through a grace: a server that listens, a connection that is kept. It is not waited for again. */
  let standing = before
  let heard = pulse.beats
  let quiet = 0
  let since = 0
  let isOver = false
  let timer: NodeJS.Timeout | undefined

  const next = (): void => void setImmediate(turn)
  const later = (): void => {
    timer = setTimeout(next, 1) // a timer that is being called counts as one that is waited for
  }
  const turn = (): void => {
    if (isOver) return
    const resources = process.getActiveResourcesInfo().length
    if (pulse.beats !== heard) {
      heard = pulse.beats
      quiet = 0
    }
    if (pulse.pending > 0) pulse.onBeat(next)
    else if (quiet < TURNS) {
      if (++quiet === TURNS) since = performance.now()
      next()
    } else {
      const quietMs = performance.now() - since
      if (quietMs < GRACE_MS && resources > standing) later()
      else if (onRest()) {
        if (quietMs >= GRACE_MS) standing = resources
        // A timeout that leads to nothing but the next one needs no more than the turn that comes: a day is one and a half thousand of them.
        since = performance.now()
        next()
      } else if (quietMs < STUCK_MS || resources > before) later()
      else onStuck()
    }
  }
  setImmediate(turn)
  return () => {
    isOver = true
    clearTimeout(timer)
  }
}

/** Waits for what a dead life still waits for in the real world, but not for long: it could not be told from what the next one waits for. */
export async function outlast(before: number): Promise<void> {
  const startedAt = performance.now()
  while (process.getActiveResourcesInfo().length > before && performance.now() - startedAt < GRACE_MS) {
    await new Promise((resolve) => setTimeout(resolve, 1))
    await new Promise((resolve) => setImmediate(resolve)) // see `later`
  }
}
