import type { RuntimeEvent } from '../runtime/events.ts'
import { addSpend, type Spend, toLostSpend } from '../runtime/spend.ts'
import { toErrorSummary } from './error-summary.ts'
import { beginMachineCall, changeMachineCall, endMachineCalls, isOfMachine, type LedgerMachineCall } from './ledger-calls.ts'
import {
  beginCheckpoint,
  changeCall,
  changeCheckpoint,
  interruptCheckpoints,
  type LedgerCall,
  type LedgerRun,
  newCheckpoint,
  toEnded,
} from './ledger-run.ts'

/** What happened, in runs. Immutable: what did not change is `===`. */
export interface LedgerState {
  /** By id, in the order in which they were first heard of. */
  readonly runs: ReadonlyMap<string, LedgerRun>
  /** The calls in flight of steps of machines, in the order in which they began; at most the last 1,000. */
  readonly machineCalls: readonly LedgerMachineCall[]
  /** How many runs that are not running are remembered. */
  readonly maxFinishedRuns: number
}

type EventOf<T extends RuntimeEvent['type']> = Extract<RuntimeEvent, { readonly type: T }>

/** A checkpoint is named after its agent; see `toCheckpointName`. */
const toAgentNames = (checkpoint: string): readonly string[] => [checkpoint, checkpoint.replace(/_\d+$/, '')]

/**
 * The run that an event belongs to. A conversation inside of a flow tells its own id, `<flow run>/<agent>`; one outside is a run
 * itself, `<agent>/<session>`.
 */
export function toOwnerId(
  { runs }: LedgerState,
  { runId, checkpoint }: { readonly runId: string; readonly checkpoint: string },
): string {
  if (runs.has(runId)) return runId
  for (const agent of toAgentNames(checkpoint)) {
    const parent = runId.endsWith(`/${agent}`) ? runId.slice(0, -agent.length - 1) : ''
    if (runs.get(parent)?.kind === 'flow') return parent
  }
  return runId
}

function toSessionName(runId: string, checkpoint: string): string {
  return toAgentNames(checkpoint).find((agent) => runId.startsWith(`${agent}/`)) ?? runId
}

function put(state: LedgerState, run: LedgerRun): LedgerState {
  const runs = new Map(state.runs).set(run.id, run)
  if (run.status === 'running') return { ...state, runs }
  const finished = [...runs.values()].flatMap((other) => (other.status === 'running' ? [] : [other]))
  const surplus = finished.length - state.maxFinishedRuns
  if (surplus > 0) for (const { id } of finished.sort((a, b) => a.endedAt - b.endedAt).slice(0, surplus)) runs.delete(id)
  return { ...state, runs }
}

/** The run that a checkpoint begins in: a session is first heard of by its first turn, and runs while a turn does. */
function openOwner(state: LedgerState, event: EventOf<'checkpoint.started' | 'checkpoint.reused'>): LedgerRun {
  const { time: startedAt, checkpoint } = event
  const id = toOwnerId(state, event)
  const run = state.runs.get(id)
  if (run?.kind === 'flow') return run
  const base = run ?? { id, name: toSessionName(id, checkpoint), kind: 'session', attempt: 0, startedAt, checkpoints: [] }
  // Turns of a session do not overlap: one that is still open was cut off.
  const checkpoints = run === undefined ? [] : interruptCheckpoints(run, startedAt)
  return toRunning({ ...base, checkpoints })
}

function toRunning({ id, name, kind, attempt, startedAt, checkpoints }: Omit<LedgerRun, 'status'>): LedgerRun {
  return { id, name, kind, attempt, startedAt, checkpoints, status: 'running' }
}

const settleSession = (run: LedgerRun, endedAt: number): LedgerRun =>
  run.kind === 'flow' || run.status !== 'running' ? run : { ...run, status: 'idle', endedAt }

function change(
  state: LedgerState,
  event: { readonly runId: string; readonly checkpoint: string },
  by: (run: LedgerRun) => LedgerRun,
): LedgerState {
  const run = state.runs.get(toOwnerId(state, event))
  const changed = run === undefined ? undefined : by(run)
  return changed === undefined || changed === run ? state : put(state, changed)
}

function finishRun(state: LedgerState, event: EventOf<'run.completed' | 'run.failed'>): LedgerState {
  const { runId: id, name, time: endedAt, receipt, durationMs } = event
  const known = state.runs.get(id)
  const checkpoints = known === undefined ? [] : interruptCheckpoints(known, endedAt)
  const startedAt = known?.startedAt ?? endedAt - durationMs
  const base = { id, name, kind: 'flow', attempt: known?.attempt ?? 1, startedAt, checkpoints, endedAt, receipt } as const
  return put(
    state,
    event.type === 'run.completed'
      ? { ...base, status: 'completed' }
      : { ...base, status: 'failed', error: toErrorSummary(event.error) },
  )
}

const withCalls = (state: LedgerState, machineCalls: LedgerState['machineCalls']): LedgerState =>
  machineCalls === state.machineCalls ? state : { ...state, machineCalls }

const endCalls = (state: LedgerState, { runId }: { readonly runId: string }): LedgerState =>
  withCalls(state, endMachineCalls(state.machineCalls, runId))

/** An attempt at a call begins, after any other of the same call. */
function beginCall(state: LedgerState, event: EventOf<'call.started' | 'call.recovering'>, inDoubt: boolean): LedgerState {
  const { runId, checkpoint, key, kind, name, attempt, time: startedAt } = event
  const call = { key, kind, name, attempt, inDoubt, startedAt, retries: 0, textLength: 0 }
  if (isOfMachine(event)) return withCalls(state, beginMachineCall(state.machineCalls, { runId, ...call }))
  return change(state, event, (run) =>
    changeCheckpoint(run, { checkpoint, kind: 'turn' }, (open) => ({
      ...open,
      calls: [...open.calls.filter((other) => other.key !== key), call],
    })),
  )
}

/** A call has settled, or an attempt at it has failed: it is changed or gone, and its checkpoint has spent more. */
function settleCall(
  state: LedgerState,
  event: EventOf<'call.settled' | 'call.retried'>,
  spent: Spend,
  by: <T extends LedgerCall>(call: T) => T | undefined,
): LedgerState {
  if (isOfMachine(event)) return withCalls(state, changeMachineCall(state.machineCalls, event, by))
  const { checkpoint } = event
  return change(state, event, (run) =>
    changeCheckpoint(changeCall(run, event, by), { checkpoint, kind: 'turn' }, (open) => ({
      ...open,
      spent: addSpend(open.spent, spent),
    })),
  )
}

/** The transitions, by event: pure, and nothing for an event about what is not known (any more). */
export const transitions: { readonly [T in RuntimeEvent['type']]: (state: LedgerState, event: EventOf<T>) => LedgerState } = {
  'run.started': (state, { runId: id, name, attempt, time: startedAt }) =>
    put(state, { id, name, kind: 'flow', attempt, startedAt, checkpoints: [], status: 'running' }),
  'run.completed': finishRun,
  'run.failed': finishRun,
  'run.reused': (state, { runId: id, name, time, completedAt }) => {
    const { attempt, startedAt, checkpoints } = state.runs.get(id) ?? { attempt: 0, startedAt: time, checkpoints: [] }
    return put(state, { id, name, kind: 'flow', attempt, startedAt, checkpoints, status: 'reused', endedAt: time, completedAt })
  },

  'checkpoint.started': (state, event) => {
    const { checkpoint, kind, time, reason, changed, reused } = event
    const begun = { ...newCheckpoint(checkpoint, kind, time), reason, changed, reused, status: 'started', calls: [] } as const
    return put(state, beginCheckpoint(openOwner(state, event), begun))
  },
  'checkpoint.reused': (state, event) => {
    const { checkpoint, kind, time, reused } = event
    const error = event.error === undefined ? undefined : toErrorSummary(event.error)
    const ended = { ...newCheckpoint(checkpoint, kind, time), reused, status: 'reused', endedAt: time, error } as const
    return put(state, settleSession(beginCheckpoint(openOwner(state, event), ended), time))
  },
  'checkpoint.finished': (state, event) => {
    const { spent, reused, time: endedAt } = event
    return change(state, event, (run) => {
      const ended = changeCheckpoint(run, event, (open) => ({ ...toEnded(open), spent, reused, status: 'finished', endedAt }))
      return settleSession(ended, endedAt)
    })
  },
  'checkpoint.failed': (state, event) => {
    const { spent, time: endedAt } = event
    const error = toErrorSummary(event.error)
    return change(state, event, (run) => {
      const ended = changeCheckpoint(run, event, (open) => ({ ...toEnded(open), spent, status: 'failed', endedAt, error }))
      return settleSession(ended, endedAt)
    })
  },

  'call.started': (state, event) => beginCall(state, event, event.inDoubt),
  'call.recovering': (state, event) => beginCall(state, event, true),
  'call.settled': (state, event) => settleCall(state, event, event.spent, () => undefined),
  'call.reused': (state) => state,
  'call.progressed': (state) => state,
  // What waits is on disk: `runtime.pending()` lists it.
  'question.asked': (state) => state,
  'question.answered': (state) => state,
  'question.withdrawn': (state) => state,
  // What the failed attempt had written is void; what it was billed is not (P12).
  'call.retried': (state, event) =>
    settleCall(state, event, toLostSpend(event.error), (call) => ({ ...call, retries: call.retries + 1, textLength: 0 })),
  'text.received': (state, event) => {
    const hear = <T extends LedgerCall>(call: T): T => ({ ...call, textLength: call.textLength + event.delta.length })
    if (isOfMachine(event)) return withCalls(state, changeMachineCall(state.machineCalls, event, hear))
    return change(state, event, (run) => changeCall(run, event, hear))
  },

  // Runs of machines are not kept: there may be any number of them, and `runtime.runs()` lists them.
  'machine.started': (state) => state,
  'machine.completed': endCalls,
  'machine.failed': endCalls,
  'machine.cancelled': endCalls,
  'machine.parked': endCalls,
  'run.blocked': endCalls,
  'run.removed': endCalls,
  'message.dropped': (state) => state,
}

/** What `state` is after `event`. */
export function advance(state: LedgerState, event: RuntimeEvent): LedgerState {
  // Each transition takes the events of its own type; TypeScript cannot pair them up.
  const transition = transitions[event.type] as (state: LedgerState, event: RuntimeEvent) => LedgerState
  return transition(state, event)
}
