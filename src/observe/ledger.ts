import { createStore, type Store } from '@xstate/store'
import type { EventListener, RuntimeEvent } from '../runtime/events.ts'
import { type LedgerState, transitions } from './ledger-state.ts'

/** An `@xstate/store` whose events are the runtime's. */
export type LedgerStore = Store<LedgerState, { [E in RuntimeEvent as E['type']]: E }, never>

/** How much a ledger remembers. */
export interface LedgerOptions {
  /** Runs that are not running and are remembered; the one that ended first is forgotten first. Default: 1,000. */
  readonly maxFinishedRuns?: number | undefined
}

/** What happened since it listens, as state. In memory: it is gone with the process, the runs are not. */
export interface Ledger {
  /** Hand it to `openRuntime({ onEvent })` or `runtime.subscribe`. */
  readonly listener: EventListener
  /** Read it with `store.get().context`, watch it with `store.subscribe` or `store.select`. */
  readonly store: LedgerStore
}

/**
 * Makes a ledger: the runs of flows and sessions by id, with their checkpoints and calls in flight, kept up to date by the runtime's
 * events. Of runs of machines, of which there may be any number, only the calls in flight: `runtime.runs()` lists the runs.
 *
 * @example
 * ```ts
 * const ledger = createLedger()
 * await using runtime = await openRuntime({ directory: '.perdure', onEvent: ledger.listener })
 * ledger.store.subscribe(({ context }) => console.log(context.runs.size))
 * ```
 */
export function createLedger({ maxFinishedRuns = 1_000 }: LedgerOptions = {}): Ledger {
  if (!Number.isInteger(maxFinishedRuns) || maxFinishedRuns < 0)
    throw new TypeError(
      `Expected \`maxFinishedRuns\` to be an integer ≥ 0, got \`${String(maxFinishedRuns)}\` (${typeof maxFinishedRuns})`,
    )
  const context: LedgerState = { runs: new Map(), machineCalls: [], maxFinishedRuns }
  const store: LedgerStore = createStore<LedgerState, RuntimeEvent, never>({ context, on: transitions })
  return { store, listener: (event) => store.send(event) }
}
