import type { z } from 'zod'
import type { Agent } from './agent.ts'
import { NO_STANDING } from './attempt.ts'
import { type CheckpointStrategy, type Conversation, openConversation } from './conversation.ts'
import { type Session, type SessionTurnOptions, toTurnFingerprint } from './durable-agent.ts'
import { type Fingerprint, findChanges } from './fingerprint.ts'
import { assertNotWithin, createQueue } from './queue.ts'
import { sendToTurn } from './running-turns.ts'
import type { Services } from './services.ts'
import { streamRun } from './stream.ts'
import { type TurnResult, toCheckpointName } from './turn.ts'
import { readTurn, toOutput, toTurnFunction } from './turn-output.ts'

type AnySessionTurnOptions = SessionTurnOptions<z.ZodType | undefined>

/** A conversation that is shared by all who ask for its id. */
export interface OpenSession {
  /** `output` of the result is the text, whatever form it was asked for in. */
  run(agent: Agent<unknown>, strategy: CheckpointStrategy, prompt: string, options: AnySessionTurnOptions): Promise<TurnResult>
  /** Drops the conversation from memory until the next turn, unless one is under way. False: it could not. */
  passivate(): boolean
  stop(): Promise<void>
}

export function toSession<Output>(
  services: Services,
  open: OpenSession,
  runId: string,
  agent: Agent<Output>,
  strategy: CheckpointStrategy,
): Session<Output> {
  const { turns } = services
  return {
    runId,
    run: toTurnFunction((prompt, options: AnySessionTurnOptions = {}) =>
      readTurn(agent.profile, options, open.run(agent, strategy, prompt, options)),
    ),
    steer: (text) => sendToTurn(turns, runId, { type: 'steer', text }),
    interrupt: (text) => sendToTurn(turns, runId, { type: 'interrupt', text }),
    stream: (options) => streamRun(services, runId, { ...options, mayBegin: true }),
  }
}

interface Request {
  readonly agent: Agent<unknown>
  readonly strategy: CheckpointStrategy
  readonly prompt: string
  readonly fingerprint: Fingerprint
  readonly options: AnySessionTurnOptions
}

/** `onTurn` is called after each turn. */
export function openSession(
  services: Services,
  runId: string,
  name: string,
  onTurn: (session: OpenSession) => void,
): OpenSession {
  const { emit, closing } = services
  const queue = createQueue()
  let opened: Promise<Conversation> | undefined
  /** Resolves when the conversation that was dropped has let go of its run. */
  let dropped: Promise<void> = Promise.resolve()
  const drop = (): void => {
    const last = opened
    opened = undefined
    dropped = dropped.then(async () => (await last?.catch(() => undefined))?.stop())
  }
  let turns = 0
  /** The last turn without an id that was matched with what is asked now, or begun. */
  let cursor = 0

  const execute = async (
    conversation: Conversation,
    turn: number,
    { options, ...request }: Request,
    reason: 'new' | 'resumed' | 'retried',
    ending: AbortSignal = closing,
  ): Promise<TurnResult> => {
    const checkpoint = toCheckpointName(name, turn)
    const { output, spend } = await conversation.execute({
      ...options,
      ...request,
      turn,
      checkpoint,
      standing: NO_STANDING,
      reason,
      changed: [],
      ending,
    })
    return { output, checkpoint, turn, reused: false, spend }
  }

  /** The recorded turn that is asked for; `undefined` when it is a new one. */
  const match = async (conversation: Conversation, { agent, fingerprint, options }: Request): Promise<number | undefined> => {
    if (options.id !== undefined) return conversation.turnOfId(options.id)
    for (let turn = cursor + 1; turn <= conversation.turns; turn++) {
      const recorded = await conversation.turn(turn)
      if (recorded === undefined || recorded.id !== undefined) continue
      const changed = await findChanges(recorded, fingerprint, toOutput(agent.profile, options))
      if (changed.length === 0) return turn
      // The same words, cut off before a deploy changed the agent: to begin them anew would repeat what they had done.
      if (recorded.status === 'intended' && turn === conversation.turns && !changed.includes('prompt')) return turn
      cursor = conversation.turns // the first that differs: from here on all is new
      break
    }
    return undefined
  }

  /** Turns do not overlap: one that was cut off comes to its end before a new one begins. */
  const finishLast = async (conversation: Conversation, request: Request): Promise<void> => {
    const last = conversation.turns
    const unfinished = last === 0 ? undefined : await conversation.turn(last)
    if (unfinished?.status !== 'intended') return
    const { fingerprint, id } = unfinished
    const options = id === undefined ? {} : { id }
    const resumed: Request = { ...request, strategy: 'calls', fingerprint, options }
    try {
      // The signal is that of the new turn: it does not decide over the one before.
      const ending = request.options.signal === undefined ? closing : AbortSignal.any([closing, request.options.signal])
      await execute(conversation, last, resumed, 'resumed', ending)
    } catch (error) {
      // A failure that is recorded is that turn's; what cannot even be recorded ends the new turn too.
      if ((await conversation.turn(last))?.status !== 'error') throw error
    }
  }

  const runTurn: OpenSession['run'] = async (agent, strategy, prompt, options) => {
    assertNotWithin(runId, services.within.getStore())
    return queue(async () => {
      const request: Request = { agent, strategy, prompt, options, fingerprint: toTurnFingerprint(agent, prompt, options.output) }
      const follow = (turn: number): void => {
        if (options.id === undefined) cursor = turn
      }
      opened ??= dropped.then(() => openConversation(services, runId, name, 'session'))
      try {
        const conversation = await opened
        const turn = await match(conversation, request)
        const recorded = turn === undefined ? undefined : await conversation.turn(turn)
        if (turn !== undefined && recorded?.status === 'ok') {
          const checkpoint = toCheckpointName(name, turn)
          const { output, spend } = recorded
          emit({ type: 'checkpoint.reused', runId, checkpoint, kind: 'turn', reused: spend })
          follow(turn)
          return { output, checkpoint, turn, reused: true, spend }
        }
        if (turn !== undefined && turn === conversation.turns) {
          const result = await execute(conversation, turn, request, recorded?.status === 'error' ? 'retried' : 'resumed')
          follow(turn)
          return result
        }
        await finishLast(conversation, request)
        const next = conversation.turns + 1
        const result = await execute(conversation, next, request, 'new')
        follow(next)
        return result
      } catch (error) {
        // What memory holds may be ahead of the disk: read it anew, once calls that were ended have said what they came to. Nobody who is told of the error waits for that.
        drop()
        throw error
      }
    }, options.signal)
  }

  const session: OpenSession = {
    async run(agent, strategy, prompt, options) {
      turns++
      try {
        return await runTurn(agent, strategy, prompt, options)
      } finally {
        turns--
        if (turns === 0) onTurn(session)
      }
    },
    passivate() {
      if (turns > 0) return false
      drop()
      return true
    },
    async stop() {
      const conversation = await opened?.catch(() => undefined)
      await conversation?.stop()
      await queue(async () => {})
      await dropped
    },
  }
  return session
}
