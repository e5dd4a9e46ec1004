import type { Agent } from './agent.ts'
import type { Attempt } from './attempt.ts'
import { type CheckpointStrategy, type Conversation, openConversation } from './conversation.ts'
import { toTurnFingerprint } from './durable-agent.ts'
import { findChanges } from './fingerprint.ts'
import type { Branch } from './flow-branch.ts'
import { type LimitedFlow, toAllowance } from './flow-limits.ts'
import { assertNotWithin, createQueue, type Queue } from './queue.ts'
import type { Services } from './services.ts'
import { NO_SPEND } from './spend.ts'
import { type AnyTurnOptions, type TurnResult, toCheckpointName } from './turn.ts'
import { toOutput } from './turn-output.ts'
import type { RecordedTurn } from './turn-record.ts'

/**
 * The turns of one attempt at a flow. Each agent has one conversation in each branch: in the run `<flow run>/<profile.name>`, and in a branch of `flow.all` in
 * `<flow run>/all.1/2/<profile.name>`.
 */
export interface FlowTurns {
  run(
    branch: Branch,
    agent: Agent<unknown>,
    strategy: CheckpointStrategy,
    prompt: string,
    options: AnyTurnOptions,
  ): Promise<TurnResult>
  /** Ends what is still in flight. What had settled is on disk when the promise resolves. */
  stop(): Promise<void>
}

interface Thread {
  readonly queue: Queue
  readonly open: () => Promise<Conversation>
  /** Ends what is in flight and lets go of what is in memory: the next one to open it reads it anew. */
  readonly stop: () => Promise<void>
  /** How many turns were begun or returned from the store in this attempt. */
  turns: number
}

export function createFlowTurns(services: Services, attempt: Attempt, flow: LimitedFlow): FlowTurns {
  const { emit } = services
  const threads = new Map<string, Thread>()

  const createThread = (id: string, name: string): Thread => {
    let opened: Promise<Conversation> | undefined
    return {
      queue: createQueue(),
      open: () => {
        opened ??= openConversation(services, id, name, 'flow', attempt.runId)
        return opened
      },
      async stop() {
        const conversation = await opened?.catch(() => undefined)
        opened = undefined
        await conversation?.stop()
      },
      turns: 0,
    }
  }

  const reuse = (branch: Branch, conversation: Conversation, turn: number, recorded: RecordedTurn): TurnResult => {
    const checkpoint = toCheckpointName(conversation.name, turn)
    if (recorded.upTo < attempt.newest()) conversation.confirm(turn, attempt.newest())
    branch.settle(recorded)
    const reused = recorded.status === 'ok' ? recorded.spend : NO_SPEND
    attempt.book.reuse(reused)
    const event = { type: 'checkpoint.reused', runId: conversation.id, checkpoint, kind: 'turn', reused } as const
    if (recorded.status === 'error') {
      emit({ ...event, error: recorded.error })
      throw recorded.error
    }
    emit(event)
    return { output: recorded.status === 'ok' ? recorded.output : '', checkpoint, turn, reused: true, spend: reused }
  }

  return {
    async run(branch, agent, strategy, prompt, options) {
      const { name } = agent.profile
      const fingerprint = toTurnFingerprint(agent, prompt, options.output)
      const id = `${attempt.runId}/${branch.path}${name}`
      const thread = threads.get(id) ?? createThread(id, name)
      threads.set(id, thread)
      assertNotWithin(id, services.within.getStore())
      // As of when it was asked for, not of when its turn came: what settles in between runs beside it.
      const minimum = branch.minimum()
      return thread.queue(async () => {
        // Numbered when its turn comes: one that was aborted while it waited leaves no gap.
        const turn = thread.turns + 1
        const checkpoint = toCheckpointName(name, turn)
        attempt.assertOpen(`Turn \`${checkpoint}\``)
        const conversation = await thread.open()
        const recorded = await conversation.turn(turn)
        const changed = recorded === undefined ? [] : await findChanges(recorded, fingerprint, toOutput(agent.profile, options))
        const reason = attempt.judge(recorded, minimum, changed.length > 0)
        if (reason === 'reuse') {
          thread.turns = turn
          return reuse(branch, conversation, turn, recorded as RecordedTurn) // only what was recorded is
        }
        const standing = await attempt.place(reason, recorded, minimum)
        const allowance = await toAllowance(services, flow, id)
        try {
          const { output, spend } = await conversation.execute({
            signal: options.signal,
            onText: options.onText,
            output: options.output,
            allowance,
            agent,
            strategy,
            turn,
            checkpoint,
            prompt,
            fingerprint,
            standing,
            reason,
            changed: reason === 'changed' ? changed : [],
            ending: attempt.signal,
            onCost: attempt.book.add,
          })
          attempt.book.finish()
          return { output, checkpoint, turn, reused: false, spend }
        } catch (error) {
          // What memory holds may be ahead of the disk.
          await thread.stop()
          throw error
        } finally {
          if (turn <= conversation.turns) thread.turns = turn
          branch.settle(standing)
        }
      }, options.signal)
    },
    async stop() {
      await Promise.all([...threads.values()].map(({ queue, stop }) => queue(stop)))
    },
  }
}
