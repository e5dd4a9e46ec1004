import { createCommitter } from '../persistence/commit.ts'
import { createRunLog } from '../persistence/run-log.ts'
import type { Store } from '../persistence/store.ts'
import { toStoredHead } from '../runtime/conversation.ts'
import { toForkedSnapshot } from '../runtime/fork.ts'
import { NO_SPEND } from '../runtime/spend.ts'
import type { RunRecording } from './recording.ts'

/** What came before the first turn of a fork stands in the store before it is replayed as `id`: its messages, and how many turns that were. */
export async function seedConversation(store: Store, id: string, recording: RunRecording): Promise<void> {
  const { name, fork, messages, turns, createdAt } = recording
  if (fork === undefined) return
  const before = messages.slice(0, turns[0]?.record.start)
  const committer = createCommitter(store, { sync: false })
  const { run, createdAt: since, turn } = fork // its profile is that of the agent
  const from = { run, createdAt: since, turn }
  const data = toStoredHead({ turns: turn - 1, spend: NO_SPEND, owner: 'session', fork: from })
  const log = createRunLog({ store, committer, now: () => createdAt }, { id, kind: 'agent', name, data })
  log.follow(() => toForkedSnapshot(before, turn - 1, undefined))
  log.update({ status: 'completed' })
  await log.commit()
}
