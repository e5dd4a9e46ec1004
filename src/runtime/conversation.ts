import { z } from 'zod'
import { ProfileChange } from '../actors/profile.ts'
import { isSuspension } from '../actors/suspension.ts'
import { PerdureError } from '../errors.ts'
import { readAnswer } from '../machines/agent.ts'
import { createRunLog, openRunLog, type StepRecord } from '../persistence/run-log.ts'
import type { Activation } from './activation.ts'
import type { Agent } from './agent.ts'
import type { Standing } from './attempt.ts'
import { findStep } from './call-scope.ts'
import { publishContent } from './content-channel.ts'
import { toLeaving } from './durable-actor.ts'
import type { ChangedPart, CheckpointReason } from './events.ts'
import type { Fingerprint } from './fingerprint.ts'
import type { TurnAllowance } from './flow-limits.ts'
import { tell } from './listener.ts'
import { parseRecorded, toCorrupt } from './recorded.ts'
import { toRecordedError } from './recorded-error.ts'
import type { Services } from './services.ts'
import { addSpend, countSpend, NO_SPEND, Spend, subtractSpend, sumSpend, toStoredSpend } from './spend.ts'
import type { ResolvedDoubt } from './step-execution.ts'
import { type AnyTurnOptions, fromAgentError, toAborted } from './turn.ts'
import { callPrefix, idKey, parseTurn, type RecordedTurn, turnKey } from './turn-record.ts'
import { startTurn } from './turn-start.ts'

/**
 * One durable conversation: a run of the agent machine. It executes turns; whoever owns it (a flow, a session) decides which turns
 * need executing, and queues them: they do not overlap.
 */

/** When a turn is a checkpoint: as a whole, or after each of its calls. It decides what a resume takes up again. */
export type CheckpointStrategy = 'turn' | 'calls'

/** A turn to execute. */
export interface TurnPlan extends AnyTurnOptions {
  readonly agent: Agent<unknown>
  readonly strategy: CheckpointStrategy
  readonly turn: number
  readonly checkpoint: string
  readonly prompt: string
  readonly fingerprint: Fingerprint
  readonly standing: Standing
  readonly reason: CheckpointReason
  readonly changed: readonly ChangedPart[]
  /** What its flow leaves it of its own limits. Default: nothing limits it but its profile. */
  readonly allowance?: TurnAllowance | undefined
  /** What its caller names it, if anything; recorded with the turn's intent. */
  readonly id?: string | undefined
  /** Ends the turn as a crash would, when what it belongs to ends; aborts at the latest when the runtime closes. */
  readonly ending: AbortSignal
  /** Told what the execution cost, also when it fails. */
  readonly onCost?: ((cost: TurnCost) => void) | undefined
}

/** What executing a turn cost. */
interface TurnCost {
  /** Calls that had settled in an earlier attempt. */
  readonly reused: Spend
  /** Calls of this attempt. */
  readonly spent: Spend
  /** Calls that were in doubt, or are made again because the turn starts over. */
  readonly doubts: readonly ResolvedDoubt[]
}

type TurnEnd = Pick<StepRecord, 'status' | 'endedAt' | 'value' | 'error'>

/** A recorded turn that came to an answer. */
type FinishedTurn = RecordedTurn & { readonly status: 'ok' }

export interface Conversation {
  readonly id: string
  /** The agent's name. */
  readonly name: string
  /** How many turns were begun. */
  readonly turns: number
  readonly fork: Fork | undefined
  /** A turn as recorded; `undefined` when it was never begun, or is the origin's. Errors: `RUN_CORRUPT`. */
  turn(number: number): Promise<RecordedTurn | undefined>
  /** The number of the turn that its caller named `name`. Errors: `RUN_CORRUPT`. */
  turnOfId(name: string): Promise<number | undefined>
  /** Records that a turn, read before, is up to date with that generation. On disk with what is committed next. */
  confirm(turn: number, upTo: number): void
  /**
   * Executes a turn and resolves when its result is on disk (P1). Errors: `MODEL_*`, `MAX_STEPS`, `ABORTED` by its own signal
   * (recorded: the turn can be retried); `ABORTED` by an end, and those of the store (not recorded: the turn can be resumed).
   */
  execute(plan: TurnPlan): Promise<FinishedTurn>
  /**
   * Ends what is in flight: as a crash would, or, with a reason that is no suspension, as a cancellation, which may say what it came to. What had settled is on disk
   * when the promise resolves.
   */
  stop(reason?: PerdureError): Promise<void>
}

/** Where a conversation was forked. */
const Fork = z.object({
  run: z.string(),
  /** When that run was begun: another may have its id by now. */
  createdAt: z.number(),
  /** The first turn that is not the origin's. */
  turn: z.int(),
  /** What it has instead of what the profile says. */
  profile: ProfileChange.optional(),
})
type Fork = Readonly<z.output<typeof Fork>>

export const HeadData = z.object({
  turns: z.int(),
  spend: Spend,
  /** What of `spend` agents paid that work for its calls: it is in their heads too. */
  childSpend: Spend.optional(),
  /** What the last turn has cost while it was under way. */
  turnSpend: Spend.optional(),
  owner: z.enum(['flow', 'session', 'agent']),
  /** The run that it belongs to, and goes with. */
  parent: z.string().optional(),
  fork: Fork.optional(),
})

export const toStoredHead = ({ spend, childSpend, turnSpend, ...head }: z.output<typeof HeadData>): object => ({
  ...head,
  spend: toStoredSpend(spend),
  ...(childSpend === undefined ? {} : { childSpend: toStoredSpend(childSpend) }),
  ...(turnSpend === undefined ? {} : { turnSpend: toStoredSpend(turnSpend) }),
})

/** Who decides which turns of a conversation need executing. */
export type ConversationOwner = z.output<typeof HeadData>['owner']

/** Opens a conversation, or begins one that is on disk with its first turn. Errors: `RUN_CONFLICT`, `RUN_CORRUPT`, `RUN_ID_INVALID`. */
export async function openConversation(
  services: Services,
  id: string,
  name: string,
  owner: ConversationOwner,
  parent?: string,
): Promise<Conversation> {
  await services.claims.whenNotBrief(id)
  const release = services.claims.claim(id)
  try {
    return await open(services, id, name, { owner, parent }, release)
  } catch (error) {
    release()
    throw error
  }
}

async function open(
  services: Services,
  id: string,
  name: string,
  { owner, parent }: { readonly owner: ConversationOwner; readonly parent: string | undefined },
  release: () => void,
): Promise<Conversation> {
  const { emit, now } = services
  const known = await openRunLog(services, id)
  const log =
    known ?? createRunLog(services, { id, kind: 'agent', name, data: toStoredHead({ turns: 0, spend: NO_SPEND, owner, parent }) })
  const conflict = (what: string): PerdureError =>
    new PerdureError('RUN_CONFLICT', `The run \`${id}\` is ${what}. Choose another id.`, { details: { run: id } })
  if (log.head.kind !== 'agent' || log.head.name !== name)
    throw conflict(`the ${log.head.kind} \`${log.head.name}\`, not the agent \`${name}\``)
  let head = parseRecorded(HeadData, log.head.data, id, 'head')
  if (head.owner !== owner) throw conflict(`the conversation of a ${head.owner}, not of a ${owner}`)
  let activation: Activation | undefined

  /** The last turn, once it came to its end in this process. */
  let last: (RecordedTurn & { readonly turn: number }) | undefined
  const readTurn = async (number: number): Promise<RecordedTurn | undefined> => {
    if (number > head.turns) return undefined
    if (number === last?.turn) return last
    const record = await log.loadStep(turnKey(number))
    if (record !== undefined) return parseTurn(id, record, number === head.turns ? head.turnSpend : undefined)
    if (number < (head.fork?.turn ?? 1)) return undefined
    throw toCorrupt(id, `turn ${number} of ${head.turns} is missing`)
  }

  /** Of calls that were ended, and that nobody takes up any more. */
  const removeFiles = (steps: readonly (readonly [string, StepRecord])[]): void => {
    for (const [key, { kind, aborted }] of steps)
      if (kind === 'tool' && aborted === true) services.files?.removeOf(id, key).catch(() => {}) // they go with the run then
  }

  return {
    id,
    name,
    get turns() {
      return head.turns
    },
    fork: head.fork,
    turn: readTurn,

    async turnOfId(name) {
      const record = await log.loadStep(idKey(name, services.store.hashKey))
      return record === undefined ? undefined : parseRecorded(z.int(), record.value, id, `turn of id \`${name}\``)
    },

    confirm(turn, upTo) {
      last = undefined
      const record = log.step(turnKey(turn))
      if (record === undefined) return
      log.putStep(turnKey(turn), { ...record, data: { ...(record.data as object), upTo } }) // read by `turn`
      log.commit().catch(() => {}) // then it is confirmed again next time
    },

    async execute(plan) {
      const { turn, checkpoint, reason, signal, ending } = plan
      const what = `Turn \`${checkpoint}\` of run \`${id}\``
      const recorded = await readTurn(turn)
      last = undefined
      const begun = await startTurn(services, log, activation, plan, recorded, head.spend)
      activation = begun.activation
      const assertWanted = (): void => {
        const aborted = [signal, ending].find((other) => other?.aborted)
        if (aborted === undefined) return
        // Nothing of the turn is recorded, and so nothing of what made room for it may be.
        log.abandon()
        throw toAborted(what, aborted)
      }
      assertWanted()
      const { activation: current, event, version, start } = begun
      const settledBefore = log.steps(callPrefix(turn, version)).filter(([, step]) => step.status === 'ok')
      let reused = sumSpend(settledBefore.map(([, step]) => step))
      const doubts: ResolvedDoubt[] = [...begun.again]
      let spent = NO_SPEND
      const startedAt = now()

      emit({
        type: 'checkpoint.started',
        runId: id,
        runCreatedAt: log.head.createdAt,
        checkpoint,
        kind: 'turn',
        reason,
        changed: plan.changed,
        reused,
        of: {
          turn,
          agent: name,
          model: plan.agent.profile.model,
          attempt: (recorded?.tries ?? 0) + 1,
          parent: head.parent === undefined ? undefined : { runId: head.parent, key: findStep(head.parent) },
        },
      })
      publishContent(services, { runId: id, checkpoint }, () => ({ asked: plan.prompt }))
      assertWanted() // a listener may have ended it

      const { standing, fingerprint } = plan
      const paid =
        recorded !== undefined && (reason === 'resumed' || reason === 'retried') ? addSpend(recorded.spend, begun.lost) : NO_SPEND
      let cost = paid
      const put = (outcome: TurnEnd): StepRecord => {
        const attempt = (recorded?.tries ?? 0) + 1
        const named = plan.id === undefined ? {} : { id: plan.id }
        const total = outcome.status === 'intended' ? {} : { spend: toStoredSpend(cost) }
        const data = { ...standing, fingerprint, version, start, ...total, ...named }
        const record: StepRecord = { kind: 'turn', name: checkpoint, attempt, startedAt, data, ...outcome }
        log.putStep(turnKey(turn), record)
        return record
      }
      put({ status: 'intended' })
      if (plan.id !== undefined && reason === 'new')
        log.putStep(idKey(plan.id, services.store.hashKey), {
          kind: 'id',
          name: plan.id,
          status: 'ok',
          attempt: 1,
          startedAt,
          endedAt: startedAt,
          value: turn,
        })
      head = { ...head, turns: turn, turnSpend: cost }
      log.update({ status: 'running', data: toStoredHead(head) })

      const onEnd = (): void => {
        const error = toAborted(what, ending)
        ended = current.stop(error, isSuspension(ending) ? ending.reason : error)
      }
      let ended: Promise<void> | undefined
      const onAbort = (): void => current.abort()
      signal?.addEventListener('abort', onAbort, { once: true })
      ending.addEventListener('abort', onEnd, { once: true })
      let settled: RecordedTurn | undefined
      let end: TurnEnd | undefined
      const over = Promise.withResolvers<void>()
      services.turns.set(id, {
        send: (sent) => current.send(sent),
        abort() {
          current.abort()
          return over.promise
        },
      })
      try {
        await current.run(
          {
            checkpoint,
            output: plan.output,
            onText: (delta) => tell(plan.onText, delta),
            onDoubt: (doubt) => doubts.push(doubt),
            onSpend(spend, children = NO_SPEND, before = NO_SPEND) {
              spent = addSpend(spent, subtractSpend(spend, before))
              reused = addSpend(reused, before)
              cost = addSpend(cost, spend)
              head = { ...head, ...countSpend(head, spend, children), ...(end === undefined ? { turnSpend: cost } : {}) }
              log.update({ data: toStoredHead(head) }) // P12
              if (end === undefined) return
              put(end) // a call that was ended may take its time, and the turn stays what it was
              last = undefined
            },
            onSettled(context) {
              const { error } = context
              const endedAt = now()
              end =
                error === undefined
                  ? { status: 'ok', value: { output: readAnswer(context)?.content ?? '' }, endedAt }
                  : { status: 'error', error: toRecordedError(fromAgentError(error)), endedAt }
              settled = parseTurn(id, put(end))
              const { turnSpend: _, ...rest } = head
              head = rest
              log.update({ status: error === undefined ? 'completed' : 'failed', data: toStoredHead(head) })
            },
          },
          event,
        )
        await log.commit()
      } catch (error) {
        // Nothing of the turn's end is recorded; what had settled is, if the store still takes it.
        activation = undefined
        await ended
        await log.commit().catch(() => {})
        if (!ending.aborted)
          emit({ type: 'checkpoint.failed', runId: id, checkpoint, kind: 'turn', spent, durationMs: now() - startedAt, error })
        throw error
      } finally {
        signal?.removeEventListener('abort', onAbort)
        ending.removeEventListener('abort', onEnd)
        services.turns.delete(id)
        over.resolve()
        if (settled?.status === 'ok') removeFiles(log.steps(callPrefix(turn, version)))
        log.releaseSteps('call/')
        log.releaseSteps('turn/')
        log.releaseSteps('id/')
        plan.onCost?.({ reused, spent, doubts })
      }
      if (settled !== undefined) last = { ...settled, turn }
      const durationMs = now() - startedAt
      if (settled !== undefined)
        publishContent(services, { runId: id, checkpoint }, () => ({ answered: end?.error ?? end?.value }))
      if (settled?.status === 'ok') {
        emit({ type: 'checkpoint.finished', runId: id, checkpoint, kind: 'turn', spent, reused, doubts, durationMs })
        return settled
      }
      const error = settled?.status === 'error' ? settled.error : toAborted(what, ending)
      emit({ type: 'checkpoint.failed', runId: id, checkpoint, kind: 'turn', spent, doubts, durationMs, error })
      throw error
    },

    async stop(reason = toLeaving(id)) {
      const last = activation
      activation = undefined
      await last?.stop(reason, reason)
      await log.commit().catch(() => {})
      release()
    },
  }
}
