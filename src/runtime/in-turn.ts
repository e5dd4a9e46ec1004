/**
 * Work on one run that must not overlap: loading, creating, ending and deleting it. One after the other per run, in the order of asking; a task that fails
 * does not stop the next.
 */
export interface InTurn {
  <T>(run: string, task: () => Promise<T>): Promise<T>
  /** Resolves when nothing is under way. Never rejects. */
  idle(): Promise<void>
}

export function createInTurn(): InTurn {
  const last = new Map<string, Promise<unknown>>()
  const inTurn = <T>(run: string, task: () => Promise<T>): Promise<T> => {
    const before = last.get(run)
    const result = before === undefined ? task() : before.then(task)
    const settled: Promise<unknown> = result
      .catch(() => {})
      .then(() => {
        if (last.get(run) === settled) last.delete(run)
      })
    last.set(run, settled)
    return result
  }
  return Object.assign(inTurn, {
    async idle() {
      while (last.size > 0) await Promise.all(last.values())
    },
  })
}
