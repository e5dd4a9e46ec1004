import type { Figure } from './figure.ts'

/** What a benchmark is given. */
export interface Bench {
  /** How often each figure is measured; the median counts. */
  readonly rounds: number
  /** A new, empty folder on the disk that is measured. */
  readonly folder: (name: string) => string
}

/** Measures some figures. */
export type Measure = (bench: Bench) => Promise<readonly Figure[]>
