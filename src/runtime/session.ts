import { isPerdureError } from '../errors.ts'
import type { Agent } from './agent.ts'
import { type CheckpointStrategy, type Conversation, openConversation } from './conversation.ts'
import { type Session, type SessionTurnOptions, toTurnFingerprint } from './durable-agent.ts'
import { compareFingerprints, type Fingerprint, toHash } from './fingerprint.ts'
import { createQueue } from './queue.ts'
import type { Services } from './services.ts'
import { type TurnResult, toCheckpointName } from './turn.ts'

/** A conversation that is shared by all who ask for its id. */
export interface OpenSession {
  run(agent: Agent, strategy: CheckpointStrategy, prompt: string, options: SessionTurnOptions): Promise<TurnResult>
  stop(): Promise<void>
}

export function toSession(open: OpenSession, runId: string, agent: Agent, strategy: CheckpointStrategy): Session {
  return { runId, run: (prompt, options = {}) => open.run(agent, strategy, prompt, options) }
}

export function openSession(services: Services, runId: string, name: string): OpenSession {
  const { emit } = services
  const queue = createQueue()
  let opened: Promise<Conversation> | undefined
  /** The last recorded turn that was matched with what is asked now; `undefined` once they differ. */
  let cursor: number | undefined = 0

  const idKey = (id: string): string => `id/${toHash(id)}`

  const execute = async (
    conversation: Conversation,
    turn: number,
    request: {
      readonly agent: Agent
      readonly strategy: CheckpointStrategy
      readonly prompt: string
      readonly fingerprint: Fingerprint
      readonly options: SessionTurnOptions
      readonly reason: 'new' | 'resumed' | 'retried'
    },
  ): Promise<TurnResult> => {
    const { options, ...rest } = request
    const checkpoint = toCheckpointName(name, turn)
    const { id } = options
    const outcome = await conversation.execute({
      ...rest,
      ...options,
      turn,
      checkpoint,
      generation: 0,
      attempt: 0,
      changed: [],
      alongside: (log) => {
        if (id === undefined || request.reason !== 'new') return
        const time = services.now()
        log.putStep(idKey(id), { kind: 'id', name: id, status: 'ok', attempt: 1, startedAt: time, endedAt: time, value: turn })
      },
    })
    return { output: outcome.output, checkpoint, turn, reused: false, spend: outcome.spend }
  }

  /** The recorded turn that `prompt` asks for; `undefined` when it is a new one. */
  const match = async (
    conversation: Conversation,
    fingerprint: Fingerprint,
    id: string | undefined,
  ): Promise<number | undefined> => {
    if (id !== undefined) {
      const known = await conversation.step(idKey(id))
      return known?.value as number | undefined // written by `execute`
    }
    if (cursor === undefined || cursor >= conversation.turns) return undefined
    const recorded = await conversation.turn(cursor + 1)
    return recorded !== undefined && compareFingerprints(recorded.fingerprint, fingerprint).length === 0 ? cursor + 1 : undefined
  }

  const run: OpenSession['run'] = (agent, strategy, prompt, options) =>
    queue(async () => {
      const fingerprint = toTurnFingerprint(agent, prompt)
      opened ??= openConversation(services, runId, name)
      try {
        const conversation = await opened
        const request = { agent, strategy, prompt, fingerprint, options }
        const turn = await match(conversation, fingerprint, options.id)
        if (turn !== undefined) {
          const recorded = await conversation.turn(turn)
          if (recorded?.status === 'ok') {
            const checkpoint = toCheckpointName(name, turn)
            const { output, spend } = recorded
            emit({ type: 'checkpoint.reused', runId, checkpoint, kind: 'turn', reused: spend })
            if (options.id === undefined) cursor = turn
            return { output, checkpoint, turn, reused: true, spend }
          }
          if (turn === conversation.turns) {
            const reason = recorded?.status === 'error' ? 'retried' : 'resumed'
            const result = await execute(conversation, turn, { ...request, reason })
            if (options.id === undefined) cursor = turn
            return result
          }
        }
        // A new turn. One that was cut off comes first: turns do not overlap.
        const last = conversation.turns
        const unfinished = last > 0 ? await conversation.turn(last) : undefined
        if (unfinished?.status === 'intended')
          await execute(conversation, last, {
            ...request,
            strategy: 'calls',
            fingerprint: unfinished.fingerprint,
            options: {},
            reason: 'resumed',
          }).catch((error: unknown) => {
            // Its failure is recorded with it; what cannot even be recorded ends the new turn too.
            if (!isPerdureError(error) || !/^(MODEL_|MAX_STEPS)/.test(error.code)) throw error
          })
        const next = conversation.turns + 1
        if (cursor !== last) cursor = undefined
        const result = await execute(conversation, next, { ...request, reason: 'new' })
        if (cursor === last && options.id === undefined) cursor = next
        return result
      } catch (error) {
        // What memory holds may be ahead of the disk: read it anew.
        const conversation = await opened?.catch(() => undefined)
        opened = undefined
        await conversation?.stop()
        throw error
      }
    })

  return {
    run,
    async stop() {
      const conversation = await opened?.catch(() => undefined)
      await conversation?.stop()
    },
  }
}
