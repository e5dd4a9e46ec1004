import { questionKey, questionRange, toQuestion } from '../persistence/keys.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { toRecordedError } from './recorded-error.ts'
import type { Services } from './services.ts'

/** Withdraws the open questions of a run that is not in memory, with the next commit. Resolves with how many there were. */
export async function withdrawQuestions({ store, now }: Services, log: RunLog, error: Error): Promise<number> {
  let count = 0
  for await (const [key] of store.entries(questionRange(log.id))) {
    const { step } = toQuestion(key)
    const record = await log.loadStep(step)
    log.stage({ type: 'del', key: questionKey(log.id, step) })
    count += 1
    if (record?.status === 'intended')
      log.putStep(step, { ...record, status: 'error', endedAt: now(), error: toRecordedError(error) })
  }
  return count
}
