import type { Agent } from './agent.ts'
import type { Attempt } from './attempt.ts'
import { type CheckpointStrategy, type Conversation, openConversation, type TurnPlan } from './conversation.ts'
import { toTurnFingerprint } from './durable-agent.ts'
import type { ChangedPart, CheckpointReason } from './events.ts'
import { compareFingerprints } from './fingerprint.ts'
import { createQueue, type Queue } from './queue.ts'
import type { Services } from './services.ts'
import { NO_SPEND } from './spend.ts'
import { type TurnOptions, type TurnResult, toCheckpointName } from './turn.ts'
import type { RecordedTurn } from './turn-record.ts'

/** The turns of one attempt at a flow. Each agent has one conversation in it, in the run `<flow run>/<profile.name>`. */
export interface FlowTurns {
  run(agent: Agent, strategy: CheckpointStrategy, prompt: string, options: TurnOptions): Promise<TurnResult>
  /** Ends what is still in flight. What had settled is on disk when the promise resolves. */
  stop(): Promise<void>
}

interface Thread {
  readonly queue: Queue
  readonly conversation: Promise<Conversation>
  asked: number
}

type Decision =
  | { readonly reuse: RecordedTurn & { readonly status: 'ok' | 'error' } }
  | { readonly reason: CheckpointReason; readonly changed: readonly ChangedPart[]; readonly generation: number }

export function createFlowTurns(services: Services, attempt: Attempt): FlowTurns {
  const { emit } = services
  const threads = new Map<string, Thread>()

  const openThread = (name: string): Thread => {
    let thread = threads.get(name)
    if (thread === undefined) {
      thread = { queue: createQueue(), conversation: openConversation(services, `${attempt.runId}/${name}`, name), asked: 0 }
      thread.conversation.catch(() => {}) // heard of by whoever runs a turn
      threads.set(name, thread)
    }
    return thread
  }

  /** `minimum` is what the turn's record must have: taken when the turn was asked for, not when its turn came. */
  const decide = (recorded: RecordedTurn | undefined, plan: Pick<TurnPlan, 'fingerprint'>, minimum: number): Decision => {
    if (recorded === undefined) return { reason: 'new', changed: [], generation: minimum }
    const changed = compareFingerprints(recorded.fingerprint, plan.fingerprint)
    if (!attempt.useRecords) return { reason: 'no-cache', changed: [], generation: minimum }
    if (changed.length > 0) return { reason: 'changed', changed, generation: attempt.newGeneration() }
    if (recorded.generation < minimum) return { reason: 'after-change', changed: [], generation: minimum }
    if (recorded.status === 'intended') return { reason: 'resumed', changed: [], generation: recorded.generation }
    if (recorded.status === 'ok' || attempt.holds(recorded.attempt)) return { reuse: recorded }
    return { reason: 'retried', changed: [], generation: recorded.generation }
  }

  return {
    async run(agent, strategy, prompt, options) {
      const { name } = agent.profile
      const fingerprint = toTurnFingerprint(agent, prompt)
      const thread = openThread(name)
      thread.asked++
      const turn = thread.asked
      const checkpoint = toCheckpointName(name, turn)
      const minimum = attempt.minimum()
      return thread.queue(async () => {
        attempt.assertOpen(`Turn \`${checkpoint}\``)
        const conversation = await thread.conversation
        const recorded = await conversation.turn(turn)
        const decision = decide(recorded, { fingerprint }, minimum)
        if ('reuse' in decision) {
          const { reuse } = decision
          attempt.settle(reuse.generation)
          const spend = reuse.status === 'ok' ? reuse.spend : NO_SPEND
          attempt.book.reuse(spend)
          emit({
            type: 'checkpoint.reused',
            runId: attempt.runId,
            checkpoint,
            kind: 'turn',
            reused: spend,
            ...(reuse.status === 'error' ? { error: reuse.error } : {}),
          })
          if (reuse.status === 'error') throw reuse.error
          return { output: reuse.output, checkpoint, turn, reused: true, spend }
        }
        const { reason, changed, generation } = decision
        const outcome = await conversation.execute({
          ...options,
          agent,
          strategy,
          turn,
          checkpoint,
          prompt,
          fingerprint,
          generation,
          attempt: attempt.number,
          reason,
          changed,
          ending: attempt.signal,
          onCost: attempt.book.add,
        })
        attempt.settle(generation)
        attempt.book.finish()
        return { output: outcome.output, checkpoint, turn, reused: false, spend: outcome.spend }
      })
    },
    async stop() {
      await Promise.all(
        [...threads.values()].map(async ({ conversation }) => (await conversation.catch(() => undefined))?.stop()),
      )
    },
  }
}
