import type { z } from 'zod'
import { isPerdureError } from '../errors.ts'
import { stepKey } from '../persistence/keys.ts'
import { type Agent, changeAgent } from '../runtime/agent.ts'
import { turnKey } from '../runtime/turn-record.ts'
import { compareConversations } from './compare.ts'
import { seedConversation } from './conversation-seed.ts'
import type { Divergence } from './divergence.ts'
import { type RunRecording, readRecording, type TurnRecording } from './recording.ts'
import { toReplayedAgent } from './replayed-agent.ts'
import { openStage } from './stage.ts'

/** What a replay came to. */
export interface ReplayResult {
  /** Everything was asked as it was then, and came to the same. */
  readonly identical: boolean
  readonly divergences: readonly Divergence[]
  /** What the run came to now, and then: what a flow returned; the last answer of a conversation. */
  readonly output: unknown
  readonly recordedOutput: unknown
  /** The replay, as it would have been recorded: for `diffRuns`. `undefined` when nothing of it was begun. */
  readonly replayed: RunRecording | undefined
}

export interface ConversationReplay {
  readonly agent: Agent<unknown>
  readonly onMiss: 'fail' | 'live'
  readonly output?: ((turn: TurnRecording) => z.ZodType | undefined) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Plays the turns of a conversation, whoever it belonged to, as those of a session. */
export async function replayConversation(
  recording: RunRecording,
  { agent, onMiss, output, signal }: ConversationReplay,
): Promise<ReplayResult> {
  const { name, turns, fork } = recording
  const runId = `${name}/replay`
  const stage = await openStage({ startedAt: recording.createdAt, runs: new Map([[runId, recording]]), onMiss })
  try {
    const { runtime, answers, clock, ending } = stage
    await seedConversation(stage.store, runId, recording)
    const session = runtime.durable(toReplayedAgent(changeAgent(agent, fork?.profile), answers)).session('replay')
    const signals = signal === undefined ? ending : AbortSignal.any([ending, signal])
    for (const turn of turns) {
      clock.moveTo(turn.startedAt)
      const { id } = turn.record
      const form = output?.(turn)
      const options = { signal: signals, ...(id === undefined ? {} : { id }), ...(form === undefined ? {} : { output: form }) }
      const asked = session.run(turn.prompt, options as { readonly signal: AbortSignal })
      const failure = await asked.then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      signal?.throwIfAborted()
      if (stage.failure !== undefined) throw stage.failure
      if (ending.aborted) break
      // What a turn failed with is in the records of the replay.
      const isBegun = (await stage.store.get(stepKey(runId, turnKey(turn.turn)))) !== undefined
      if (failure !== undefined && !isBegun) throw failure.error
    }
    const replayed = await readRecording(stage.store, runId).catch(toNone)
    const divergences = [...answers.divergences, ...compareConversations(recording, replayed)]
    return {
      identical: divergences.length === 0,
      divergences,
      output: replayed?.output,
      recordedOutput: recording.output,
      replayed,
    }
  } finally {
    await stage.close()
  }
}

/** Nothing of it was begun. */
export function toNone(error: unknown): undefined {
  if (!isPerdureError(error, 'RUN_NOT_FOUND')) throw error
}
