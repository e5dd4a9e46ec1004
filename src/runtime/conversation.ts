import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import { type AgentContext, type AgentEvent, readAnswer } from '../machines/agent.ts'
import { createRunLog, openRunLog, type RunLog, type StepRecord } from '../persistence/run-log.ts'
import { type Activation, activate } from './activation.ts'
import type { Agent } from './agent.ts'
import type { ChangedPart, CheckpointReason, Receipt } from './events.ts'
import type { Fingerprint } from './fingerprint.ts'
import { toRecordedError } from './recorded-error.ts'
import type { Services } from './services.ts'
import { addSpend, NO_SPEND, Spend, sumSpend } from './spend.ts'
import { fromAgentError, type TurnOptions, toAborted } from './turn.ts'
import {
  callPrefix,
  parseTurn,
  type RecordedTurn,
  type TurnData,
  type TurnValue,
  turnKey,
  turnOf,
  versionKey,
} from './turn-record.ts'

/**
 * One durable conversation: a run of the agent machine. It executes turns; whoever owns it (a flow, a session) decides which turns
 * need executing, and queues them: they do not overlap.
 */

/** When a turn is a checkpoint: as a whole, or after each of its calls. It decides what a resume takes up again. */
export type CheckpointStrategy = 'turn' | 'calls'

/** A turn to execute. */
export interface TurnPlan extends TurnOptions {
  readonly agent: Agent
  readonly strategy: CheckpointStrategy
  readonly turn: number
  readonly checkpoint: string
  readonly prompt: string
  readonly fingerprint: Fingerprint
  readonly generation: number
  readonly attempt: number
  readonly reason: CheckpointReason
  readonly changed: readonly ChangedPart[]
  /** Ends the turn as a crash would, when what it belongs to ends. */
  readonly ending?: AbortSignal | undefined
  /** Told what the execution cost, also when it fails. */
  readonly onCost?: ((cost: TurnCost) => void) | undefined
  /** Records more in the commit that carries the turn's intent. */
  readonly alongside?: ((log: RunLog) => void) | undefined
}

/** What executing a turn cost. */
export interface TurnCost {
  /** Calls that had settled in an earlier attempt. */
  readonly reused: Spend
  /** Calls of this attempt. */
  readonly spent: Spend
  /** Calls that were made again, because an earlier attempt ended while they were in flight or the turn starts over. */
  readonly repeated: Receipt['repeated']
}

export interface Conversation {
  readonly id: string
  /** How many turns were begun. */
  readonly turns: number
  /** A turn as recorded; `undefined` when it was never begun. Errors: `RUN_CORRUPT`. */
  turn(number: number): Promise<RecordedTurn | undefined>
  /** Any step as recorded. Errors: `RUN_CORRUPT`. */
  step(key: string): Promise<StepRecord | undefined>
  /**
   * Executes a turn and resolves when its result is on disk (P1). Errors: `MODEL_*`, `MAX_STEPS`, `ABORTED` by its own signal
   * (recorded: the turn can be retried); `ABORTED` by an end, and those of the store (not recorded: the turn can be resumed).
   */
  execute(plan: TurnPlan): Promise<TurnValue>
  /** Ends what is in flight, as a crash would. What had settled is on disk when the promise resolves. */
  stop(): Promise<void>
}

const HeadData = z.object({ turns: z.int(), spend: Spend })

/** Opens a conversation, or begins one that is on disk with its first turn. Errors: `RUN_CONFLICT`, `RUN_CORRUPT`, `RUN_ID_INVALID`. */
export async function openConversation(services: Services, id: string, name: string): Promise<Conversation> {
  const { emit, now, closing } = services
  const known = await openRunLog(services, id)
  const log = known ?? createRunLog(services, { id, kind: 'agent', name, data: { turns: 0, spend: NO_SPEND } })
  if (log.head.kind !== 'agent' || log.head.name !== name)
    throw new PerdureError(
      'RUN_CONFLICT',
      `The run \`${id}\` is the ${log.head.kind} \`${log.head.name}\`, not the agent \`${name}\`. Choose another id.`,
      { details: { run: id } },
    )
  let head = HeadData.parse(log.head.data)
  let activation: Activation | undefined

  const readTurn = async (number: number): Promise<RecordedTurn | undefined> => {
    const record = await log.loadStep(turnKey(number))
    return record === undefined ? undefined : parseTurn(id, record)
  }

  /** The machine's state as it is now: in memory, or as the store has it. */
  const readContext = async (): Promise<AgentContext | undefined> => {
    // The snapshot was written by `readPersisted` of an agent machine, and its checksums are right.
    const snapshot = (await log.loadSnapshot()) as { readonly context: AgentContext } | undefined
    return activation?.context ?? snapshot?.context
  }

  /** Removes the records of all turns after `turn`, and of all its calls. */
  const removeAfter = (turn: number): void => {
    for (const [key] of log.steps('turn/')) if (turnOf(key) > turn) log.deleteStep(key)
    for (const [key] of log.steps('call/')) if (turnOf(key) >= turn) log.deleteStep(key)
  }

  /** Brings the machine to where the turn begins, or where it was left, and says what to send it. */
  const prepare = async (plan: TurnPlan, recorded: RecordedTurn | undefined) => {
    const { agent, turn, prompt } = plan
    const { maxSteps } = agent.profile
    const context = await readContext()
    const stored = await log.loadSnapshot()
    const takesUp = plan.strategy === 'calls' && (plan.reason === 'resumed' || plan.reason === 'retried')
    const reuse = (snapshot: unknown): Activation => {
      if (activation?.agent === agent) return activation
      activation?.stop(toAborted(`Run \`${id}\``, undefined))
      return activate(services, log, agent, { snapshot })
    }

    if (takesUp && recorded !== undefined && context?.turn === turn) {
      activation = reuse(stored)
      await log.loadSteps(callPrefix(turn, recorded.version))
      const event: AgentEvent | undefined = context.error === undefined ? undefined : { type: 'retry', maxSteps }
      return { activation, event, version: recorded.version, start: recorded.start, again: [] }
    }
    const version = (recorded?.version ?? 0) + 1
    const event: AgentEvent = { type: 'prompt', text: prompt, key: versionKey(turn, version), maxSteps }
    if (context !== undefined && context.turn === turn - 1) {
      activation = reuse(stored)
      return { activation, event, version, start: context.messages.length, again: [] }
    }
    // The conversation went on from here before: go back to where it was.
    const start = recorded?.start ?? 0
    if (context !== undefined) {
      await log.loadSteps('turn/')
      await log.loadSteps('call/')
    }
    const abandoned = recorded === undefined ? [] : log.steps(callPrefix(turn, recorded.version))
    removeAfter(turn)
    activation?.stop(toAborted(`Run \`${id}\``, undefined))
    const messages = context?.messages.slice(0, start) ?? []
    activation = activate(services, log, agent, { input: { messages, turn: turn - 1, maxSteps } })
    // Taken up from its beginning: what it had asked will be asked again.
    const again = plan.reason === 'resumed' || plan.reason === 'retried' ? abandoned.map(([, { kind }]) => kind) : []
    return { activation, event, version, start, again }
  }

  return {
    id,
    get turns() {
      return head.turns
    },
    turn: readTurn,
    step: (key) => log.loadStep(key),

    async execute(plan) {
      const { turn, checkpoint, signal } = plan
      const recorded = await readTurn(turn)
      const aborted = [signal, plan.ending, closing].find((reason) => reason?.aborted)
      if (aborted !== undefined) throw toAborted(`Turn \`${checkpoint}\` of run \`${id}\``, aborted)
      const { activation: current, event, version, start, again } = await prepare(plan, recorded)
      const calls = callPrefix(turn, version)
      const reused = sumSpend(log.steps(calls).flatMap(([, step]) => (step.status === 'ok' ? [step] : [])))
      const repeated = { modelCalls: 0, toolCalls: 0 }
      const onRepeat = (kind: string): void => {
        if (kind === 'model') repeated.modelCalls++
        else repeated.toolCalls++
      }
      again.forEach(onRepeat)
      let spent = NO_SPEND
      const startedAt = now()

      const data: TurnData = { fingerprint: plan.fingerprint, version, generation: plan.generation, start, attempt: plan.attempt }
      const intent: StepRecord = {
        kind: 'turn',
        name: checkpoint,
        status: 'intended',
        attempt: (recorded?.tries ?? 0) + 1,
        startedAt,
        data,
      }
      log.putStep(turnKey(turn), intent)
      plan.alongside?.(log)
      head = { ...head, turns: turn }
      log.update({ status: 'running', data: head })
      emit({
        type: 'checkpoint.started',
        runId: id,
        checkpoint,
        kind: 'turn',
        reason: plan.reason,
        changed: plan.changed,
        reused,
      })

      const ending = plan.ending === undefined ? closing : AbortSignal.any([plan.ending, closing])
      const onEnd = (): void => current.stop(toAborted(`Turn \`${checkpoint}\` of run \`${id}\``, ending))
      const onAbort = (): void => current.abort()
      signal?.addEventListener('abort', onAbort, { once: true })
      ending.addEventListener('abort', onEnd, { once: true })
      let settled: RecordedTurn | undefined
      try {
        await current.run(
          {
            checkpoint,
            onText: (delta) => plan.onText?.(delta),
            onRepeat,
            onSpend(spend) {
              spent = addSpend(spent, spend)
              head = { ...head, spend: addSpend(head.spend, spend) }
              log.update({ data: head })
            },
            onSettled(context) {
              const value: TurnValue = { output: readAnswer(context)?.content ?? '', spend: addSpend(reused, spent) }
              const outcome =
                context.error === undefined
                  ? ({ status: 'ok', value } as const)
                  : ({ status: 'error', error: toRecordedError(fromAgentError(context.error)) } as const)
              const record: StepRecord = { ...intent, endedAt: now(), ...outcome }
              log.putStep(turnKey(turn), record)
              log.update({ status: context.error === undefined ? 'completed' : 'failed' })
              settled = parseTurn(id, record)
            },
          },
          event,
        )
        await log.commit()
      } catch (error) {
        // Nothing of the turn's end is recorded; what had settled is, if the store still takes it.
        activation = undefined
        await log.commit().catch(() => {})
        throw error
      } finally {
        signal?.removeEventListener('abort', onAbort)
        ending.removeEventListener('abort', onEnd)
        log.releaseSteps('call/')
        log.releaseSteps('turn/')
        plan.onCost?.({ reused, spent, repeated })
      }
      const durationMs = now() - startedAt
      if (settled?.status !== 'ok') {
        const error = settled?.status === 'error' ? settled.error : toAborted(`Turn \`${checkpoint}\` of run \`${id}\``, ending)
        emit({ type: 'checkpoint.failed', runId: id, checkpoint, kind: 'turn', spent, durationMs, error })
        throw error
      }
      emit({ type: 'checkpoint.finished', runId: id, checkpoint, kind: 'turn', spent, reused, durationMs })
      return { output: settled.output, spend: settled.spend }
    },

    async stop() {
      activation?.stop(toAborted(`Run \`${id}\``, undefined))
      activation = undefined
      await log.commit().catch(() => {})
    },
  }
}
