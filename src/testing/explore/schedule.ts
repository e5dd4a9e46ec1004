/** A death at a write of a life: `before` it was applied, or `after` that and before it was acknowledged. */
export interface WriteDeath {
  readonly write: number
  readonly when: 'before' | 'after'
}

/** A death so many milliseconds after a life began to open its store. Only a process can die so. */
export interface InstantDeath {
  readonly afterMs: number
}

/** The deaths of a program, life by life. The life after the last of them is let live. */
export type Schedule = readonly (WriteDeath | InstantDeath)[]

/** As `4+ 2-`: write 4 is applied and not acknowledged; then write 2 of the next life is not applied. `12.5ms`: after so many milliseconds. */
export function toScheduleText(schedule: Schedule): string {
  return schedule
    .map((death) => ('afterMs' in death ? `${death.afterMs}ms` : `${death.write}${death.when === 'before' ? '-' : '+'}`))
    .join(' ')
}

/** Errors: a `TypeError`. */
export function parseSchedule(text: unknown): Schedule {
  if (typeof text !== 'string' || text.trim() === '') throw toScheduleError(text)
  return text
    .trim()
    .split(/\s+/)
    .map((word) => {
      const [, write, sign] = /^([1-9]\d{0,8})([+-])$/.exec(word) ?? []
      if (write !== undefined) return { write: Number(write), when: sign === '-' ? 'before' : 'after' }
      const [, afterMs] = /^(\d{1,9}(?:\.\d+)?)ms$/.exec(word) ?? []
      if (afterMs === undefined) throw toScheduleError(text)
      return { afterMs: Number(afterMs) }
    })
}

const toScheduleError = (text: unknown): TypeError =>
  new TypeError(`Expected \`schedule\` to be deaths such as '4+ 2-', got \`${String(text)}\` (${typeof text})`)

/** The deaths at each of the first `writes` writes of a life. */
export function* deathsWithin(writes: number): Iterable<WriteDeath> {
  for (let write = 1; write <= writes; write++) {
    yield { write, when: 'before' }
    yield { write, when: 'after' }
  }
}
