import type { z } from 'zod'
import { type Agent, changeAgent } from './agent.ts'
import { assertPrompt } from './agent-request.ts'
import { NO_STANDING } from './attempt.ts'
import { type CheckpointStrategy, type Conversation, openConversation } from './conversation.ts'
import { type Session, type SessionTurnOptions, toTurnFingerprint } from './durable-agent.ts'
import { type Fingerprint, findChanges } from './fingerprint.ts'
import { forkConversation } from './fork.ts'
import { assertNotWithin, createQueue } from './queue.ts'
import { sendToTurn } from './running-turns.ts'
import type { Services } from './services.ts'
import { streamRun } from './stream.ts'
import { type TurnOptions, type TurnResult, toCheckpointName } from './turn.ts'
import { readTurn, toOutput, toTurnFunction } from './turn-output.ts'
import type { RecordedTurn } from './turn-record.ts'

type AnySessionTurnOptions = SessionTurnOptions<z.ZodType | undefined>

/** A conversation that is shared by all who ask for its id. */
export interface OpenSession {
  /** `output` of the result is the text, whatever form it was asked for in. */
  run(agent: Agent<unknown>, strategy: CheckpointStrategy, prompt: string, options: AnySessionTurnOptions): Promise<TurnResult>
  /** `undefined`: the last turn has come to its answer, or there is none. */
  resume(agent: Agent<unknown>, options: TurnOptions): Promise<TurnResult | undefined>
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
  openFork: (id: string) => Session<Output>,
): Session<Output> {
  const { turns } = services
  return {
    runId,
    run: toTurnFunction((prompt, options: AnySessionTurnOptions = {}) =>
      readTurn(agent.profile, options, open.run(agent, strategy, prompt, options)),
    ),
    async resume(options = {}) {
      const result = await open.resume(agent, options)
      return result === undefined
        ? undefined
        : ((await readTurn(agent.profile, {}, Promise.resolve(result))) as TurnResult<Output>) // as its profile says
    },
    async fork({ id, ...options }) {
      const runOptions = id === undefined ? options : { ...options, id: `${agent.profile.name}/${id}` }
      const forked = await forkConversation(services, runId, runOptions)
      return openFork(forked.slice(agent.profile.name.length + 1))
    },
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

/** What was asked before, to be gone on with by the agent as it is now. Its prompt is in the conversation. */
function toResumed(agent: Agent<unknown>, { fingerprint, id }: RecordedTurn, options: TurnOptions = {}): Request {
  const { prompt, output } = fingerprint
  const now = toTurnFingerprint(agent, 'as before')
  return {
    agent,
    strategy: 'calls',
    prompt: '',
    fingerprint: { ...now, prompt, ...(output === undefined ? {} : { output }) },
    options: id === undefined ? options : { ...options, id },
  }
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
  /** The agent that was last asked, and as it is in this conversation. */
  let known: { readonly agent: Agent<unknown>; readonly own: Agent<unknown> } | undefined
  const adapt = (agent: Agent<unknown>, { fork }: Conversation): Agent<unknown> => {
    if (known?.agent !== agent) known = { agent, own: changeAgent(agent, fork?.profile) }
    return known.own
  }
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
      // A turn that a fork begins with is taken up where it was broken off.
      strategy: turn === conversation.fork?.turn && reason !== 'new' ? 'calls' : request.strategy,
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
    for (let turn = Math.max(cursor + 1, conversation.fork?.turn ?? 1); turn <= conversation.turns; turn++) {
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
    const resumed = toResumed(request.agent, unfinished)
    try {
      // The signal is that of the new turn: it does not decide over the one before.
      const ending = request.options.signal === undefined ? closing : AbortSignal.any([closing, request.options.signal])
      await execute(conversation, last, resumed, 'resumed', ending)
    } catch (error) {
      // A failure that is recorded is that turn's; what cannot even be recorded ends the new turn too.
      if ((await conversation.turn(last))?.status !== 'error') throw error
    }
  }

  /** One after the other. What memory holds after an error may be ahead of the disk: it is read anew, once calls that were ended have said what they came to. */
  const withConversation = async <T>(
    signal: AbortSignal | undefined,
    task: (conversation: Conversation) => Promise<T>,
  ): Promise<T> => {
    assertNotWithin(runId, services.within.getStore())
    turns++
    try {
      return await queue(async () => {
        opened ??= dropped.then(() => openConversation(services, runId, name, 'session'))
        try {
          return await task(await opened)
        } catch (error) {
          drop() // nobody who is told of the error waits for that
          throw error
        }
      }, signal)
    } finally {
      turns--
      if (turns === 0) onTurn(session)
    }
  }

  const runTurn: OpenSession['run'] = async (agent, strategy, prompt, options) => {
    assertPrompt(prompt)
    return withConversation(options.signal, async (conversation) => {
      const own = adapt(agent, conversation)
      const fingerprint = toTurnFingerprint(own, prompt, options.output)
      const request: Request = { agent: own, strategy, prompt, options, fingerprint }
      const follow = (turn: number): void => {
        if (options.id === undefined) cursor = turn
      }
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
    })
  }

  const session: OpenSession = {
    run: runTurn,
    resume: (agent, options) =>
      withConversation(options.signal, async (conversation) => {
        const last = conversation.turns
        const recorded = last === 0 ? undefined : await conversation.turn(last)
        if (recorded === undefined || recorded.status === 'ok') return undefined
        const request = toResumed(adapt(agent, conversation), recorded, options)
        return execute(conversation, last, request, recorded.status === 'error' ? 'retried' : 'resumed')
      }),
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
