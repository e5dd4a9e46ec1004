import type { LedgerCall } from './ledger-run.ts'

/** A call in flight of a step of a machine. Its run may have begun in another process: only its id is known. */
export interface LedgerMachineCall extends LedgerCall {
  readonly runId: string
}

/** What is kept of machines, however many run: the rest is on the disk, and `runtime.runs()` lists it. */
const MAX_CALLS = 1_000

type Calls = readonly LedgerMachineCall[]
interface CallId {
  readonly runId: string
  readonly key: string
}

/** An event about a call that is in no checkpoint is about a step of a machine. */
export const isOfMachine = ({ checkpoint }: { readonly checkpoint: string }): boolean => checkpoint === ''

const indexOf = (calls: Calls, { runId, key }: CallId): number =>
  calls.findLastIndex((call) => call.key === key && call.runId === runId)

/** With a call that began: one of the same run and key was cut off, and is made again. */
export function beginMachineCall(calls: Calls, call: LedgerMachineCall): Calls {
  const index = indexOf(calls, call)
  const others = index === -1 ? calls : calls.toSpliced(index, 1)
  return [...others.slice(-(MAX_CALLS - 1)), call]
}

/** With a call changed, or without it; the same calls when it is not known. */
export function changeMachineCall(
  calls: Calls,
  id: CallId,
  change: (call: LedgerMachineCall) => LedgerMachineCall | undefined,
): Calls {
  const index = indexOf(calls, id)
  const call = calls[index]
  if (call === undefined) return calls
  const changed = change(call)
  return changed === undefined ? calls.toSpliced(index, 1) : calls.with(index, changed)
}

/** Without those of a run that came to its end, or to a stop; the same calls when it had none. */
export const endMachineCalls = (calls: Calls, runId: string): Calls =>
  calls.some((call) => call.runId === runId) ? calls.filter((call) => call.runId !== runId) : calls
