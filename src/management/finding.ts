/**
 * `unreadable`: LevelDB cannot read a part of the database. `lost`: it dropped a part of its log when it was opened. `head`, `snapshot`, `step`, `message`: such a record is damaged or missing. `journal`: the run has not as many steps as
 * its head says. `newer`: a newer version of perdure wrote it. `indexMissing`: a run is not in an index where it should be; `indexStale`: an entry leads to nothing.
 * `orphan`: records of a run that there is not, or its key. `halfDeleted`: a deletion that a crash cut off. `foreign`: a record that this version does not know.
 */
export type FindingKind =
  | 'unreadable'
  | 'lost'
  | 'head'
  | 'snapshot'
  | 'journal'
  | 'step'
  | 'message'
  | 'newer'
  | 'indexMissing'
  | 'indexStale'
  | 'orphan'
  | 'halfDeleted'
  | 'foreign'

/** Something in a store that is not as it should be. */
export interface Finding {
  readonly kind: FindingKind
  /** The run that it is about, where that can be told. */
  readonly run: string | undefined
  /** The record, or the first of those that it is about. */
  readonly key: string | undefined
  /** In words. */
  readonly what: string
  /**
   * What it costs. `run`: the run cannot go on; it can be deleted, or restored with the store from a backup. `part`: it goes on, less what `what` says. `nothing`: no run
   * misses it. `unknown`: what was there cannot be told; the findings about runs say what they miss.
   */
  readonly costs: 'run' | 'part' | 'nothing' | 'unknown'
  /** Whether `gc` removes it: nobody can miss it. */
  readonly isRemovable: boolean
}
