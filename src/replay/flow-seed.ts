import { createCommitter } from '../persistence/commit.ts'
import { createRunLog } from '../persistence/run-log.ts'
import type { Store } from '../persistence/store.ts'
import type { FlowHead } from '../runtime/attempt.ts'
import { toHash } from '../runtime/fingerprint.ts'
import type { RecordedCall } from './recorded-call.ts'
import type { RunRecording } from './recording.ts'

/**
 * What came into a flow from outside of its agents stands in the store before it is replayed: its input, and what its steps, sleeps, waits and questions came to. So
 * they are found there, as after a restart (P2), and none is executed.
 */

/** A generation below all others: a checkpoint that the flow asks for is confirmed, and so is told from one that it does not. */
const UNASKED = -1

/** Whether it came to something. A question that was withdrawn did not. */
export const isSettled = ({ kind, status }: RecordedCall): boolean =>
  status === 'ok' || (status === 'error' && kind !== 'question')

export async function seedFlow(store: Store, recording: RunRecording): Promise<void> {
  const { id, name, input, steps, createdAt } = recording
  const committer = createCommitter(store, { sync: false })
  const inputHash = toHash(input) // that of an encrypted store is keyed
  const data: FlowHead = { inputHash, attempt: 0, failedAttempt: -1, generation: 0, minimum: UNASKED }
  const log = createRunLog({ store, committer, now: () => createdAt }, { id, kind: 'flow', name, data })
  const record = { kind: 'flow', name, status: 'ok', attempt: 1, startedAt: createdAt, endedAt: createdAt } as const
  log.putStep('flow/input', { ...record, value: input })
  for (const step of steps.filter(isSettled)) {
    const standing = { generation: UNASKED, upTo: UNASKED, attempt: 0 }
    const own = step.record.data
    log.putStep(step.key, { ...step.record, data: { ...(typeof own === 'object' ? own : {}), ...standing } })
  }
  await log.commit()
}

/** The steps of a recording that were seeded, and that its replay never asked for. What a later attempt had no use for any more is not missed. */
export function findUnasked(recording: RunRecording, replayed: RunRecording): readonly RecordedCall[] {
  const { generation } = recording.head.data as FlowHead // it was read by the runtime that wrote it
  const asked = new Set(replayed.steps.filter(({ record }) => readUpTo(record.data) > UNASKED).map(({ key }) => key))
  return recording.steps.filter(
    (step) => isSettled(step) && isOfFlow(step) && readUpTo(step.record.data) >= generation && !asked.has(step.key),
  )
}

/** Whether the function of the flow asks for it: what was asked about a step in doubt belongs to that. */
const isOfFlow = ({ kind }: RecordedCall): boolean => kind !== 'doubt'

function readUpTo(data: unknown): number {
  const upTo = typeof data === 'object' && data !== null && 'upTo' in data ? data.upTo : undefined
  return typeof upTo === 'number' ? upTo : UNASKED
}
