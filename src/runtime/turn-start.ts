import { type AgentContext, type AgentEvent, readHistory } from '../machines/agent.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { type Activation, activate } from './activation.ts'
import { toFormat, toTurnLimits } from './agent-request.ts'
import type { TurnPlan } from './conversation.ts'
import { type ActorRecord, toLeaving } from './durable-actor.ts'
import { withinAllowance } from './flow-limits.ts'
import type { Services } from './services.ts'
import { NO_SPEND, type Spend, toSpentBefore } from './spend.ts'
import type { ResolvedDoubt } from './step-execution.ts'
import { callPrefix, type RecordedTurn, turnOf, versionKey } from './turn-record.ts'

type StoredAgent = ActorRecord & { readonly actor: { readonly context: AgentContext } }

/** A machine that is where a turn begins, or where it was left. */
export interface TurnStart {
  readonly activation: Activation
  /** What sets it going; without, it goes on by itself. */
  readonly event: AgentEvent | undefined
  readonly version: number
  /** How many messages came before the turn. */
  readonly start: number
  /** The calls that were made before and are made again, because the turn starts over. */
  readonly again: readonly ResolvedDoubt[]
  /** What of these was in flight and is lost, as far as it is known (P12). */
  readonly lost: Spend
}

/**
 * Brings the machine of a conversation to where a turn begins. A turn that is taken up keeps its version, and with it the calls that
 * had settled (P2): where it was left, or, when the conversation went on without it, from the journal. `spend`: what the conversation has cost so far.
 */
export async function startTurn(
  services: Services,
  log: RunLog,
  current: Activation | undefined,
  plan: TurnPlan,
  recorded: RecordedTurn | undefined,
  spend: Spend,
): Promise<TurnStart> {
  const { agent, turn, prompt, reason } = plan
  const within = withinAllowance(toTurnLimits(agent.profile), plan.allowance)
  const format = toFormat(agent.profile, plan.output)
  // Written by a durable actor of an agent's machine, and its checksums are right.
  const stored = (await log.loadSnapshot()) as StoredAgent | undefined
  const context = current?.context ?? stored?.actor.context
  const timeMs = agent.profile.runLimits?.wallTimeMs
  const endsAt = log.head.createdAt + (timeMs ?? 0) + (context?.runGranted?.wallTimeMs ?? 0)
  const limits = timeMs === undefined ? within : { ...within, runTimeLeftMs: Math.max(1, endsAt - services.now()) }

  const stopCurrent = async (): Promise<void> => current?.stop(toLeaving(log.id), toLeaving(log.id))
  const reuse = async (): Promise<Activation> => {
    if (current?.agent === agent) return current
    await stopCurrent()
    return activate(services, log, agent, stored === undefined ? { input: limits } : { record: stored })
  }

  /** Taken up after a deploy, a turn answers in the form that it is asked for now. */
  const reform = async (): Promise<Activation> => {
    await stopCurrent()
    const record = (await log.loadSnapshot()) as StoredAgent | undefined
    if (record === undefined) return reuse()
    const { output } = format
    const actor = { ...record.actor, context: { ...record.actor.context, output } }
    return activate(services, log, agent, { record: { ...record, actor } })
  }

  const again = reason === 'resumed' || reason === 'retried' ? recorded : undefined
  const takenUp = plan.strategy === 'calls' ? again : undefined
  if (takenUp !== undefined && context?.turn === turn) {
    await log.loadSteps(callPrefix(turn, takenUp.version))
    const event: AgentEvent | undefined = context.error === undefined ? undefined : { type: 'retry', ...limits }
    const isReformed = takenUp.fingerprint.output !== plan.fingerprint.output
    const activation = isReformed ? await reform() : await reuse()
    return { activation, event, version: takenUp.version, start: takenUp.start, again: [], lost: NO_SPEND }
  }
  const version = takenUp?.version ?? (recorded?.version ?? 0) + 1
  // What the user was told to be taken is said again when the turn starts over.
  const said = again !== undefined && context?.turn === turn ? context.said : undefined
  const event: AgentEvent = {
    type: 'prompt',
    text: prompt,
    key: versionKey(turn, version),
    ...format,
    ...limits,
    said,
    spent: toSpentBefore(spend),
  }
  if ((context?.turn ?? 0) === turn - 1) {
    const start = context === undefined ? 0 : readHistory(context).length
    return { activation: await reuse(), event, version, start, again: [], lost: NO_SPEND }
  }
  // The conversation went on from here before: go back to where it was.
  await log.loadSteps('turn/')
  await log.loadSteps('call/')
  const abandoned = again === undefined || takenUp !== undefined ? [] : log.steps(callPrefix(turn, again.version))
  const cutOff = abandoned.filter(([, { kind, status }]) => kind === 'model' && status === 'intended').length
  const lost: Spend = { ...NO_SPEND, modelCalls: cutOff, unpricedCalls: cutOff }
  removeAfter(log, turn, takenUp === undefined ? undefined : callPrefix(turn, version))
  await stopCurrent()
  const history = context === undefined ? [] : readHistory(context)
  const start = recorded?.start ?? history.length
  const messages = history.slice(0, start)
  const activation = activate(services, log, agent, {
    input: { messages, turn: turn - 1, runSpent: context?.runSpent, runGranted: context?.runGranted, ...limits },
  })
  return {
    activation,
    event,
    version,
    start,
    again: abandoned.map(([key, { kind, name }]) => ({ key, kind, name, resolution: 'retried' })),
    lost,
  }
}

/** Removes the records of all turns after `turn`, of their calls, and of its own except those that begin with `kept`. */
function removeAfter(log: RunLog, turn: number, kept: string | undefined): void {
  for (const [key] of log.steps('turn/')) if (turnOf(key) > turn) log.deleteStep(key)
  for (const [key] of log.steps('call/'))
    if (turnOf(key) >= turn && (kept === undefined || !key.startsWith(kept))) log.deleteStep(key)
}
