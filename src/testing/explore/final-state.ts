import { isPerdureError } from '../../errors.ts'
import type { StepRecord } from '../../persistence/run-record.ts'
import type { StoreRecords } from './records.ts'

/** What a run came to, without what a death may change: times, costs, attempts, names that are counted anew. */
export interface FinalRun {
  readonly what: string
  readonly status: string
  /** What it failed with, or why it was cancelled. */
  readonly reason: unknown
  /** A machine's state, or a conversation. */
  readonly state: unknown
  /** The outcome of each settled step. */
  readonly steps: Readonly<Record<string, unknown>>
  readonly taken: readonly string[]
  readonly waiting: number
}

export function toFinalRuns({ runs, waiting }: StoreRecords): Map<string, FinalRun> {
  const final = new Map<string, FinalRun>()
  for (const [id, { head, steps, snapshot, taken }] of runs) {
    const { error, reason } = head.data as { readonly error?: unknown; readonly reason?: unknown } // of a machine's head and a flow's
    const outcomes: Record<string, unknown> = {}
    for (const [key, step] of steps) if (step.kind !== 'doubt') outcomes[withoutVersion(key)] = toOutcome(step)
    final.set(id, {
      what: `${head.kind} \`${head.name}\``,
      status: head.status,
      reason: toComparable(error ?? reason),
      state: toState(head.kind, snapshot),
      steps: outcomes,
      taken,
      waiting: waiting.get(id) ?? 0,
    })
  }
  return final
}

/** What was cut off has no outcome, whether a death or its run ended it. */
function toOutcome({ kind, status, value, error, aborted }: StepRecord): unknown {
  if (status === 'intended' || aborted === true) return { kind, status: 'unfinished' }
  if (status === 'error') return { kind, status, error: toComparable(error) }
  return { kind, status, value: withoutCosts(value, kind === 'model' ? answerCosts : kind === 'tool' ? childCosts : []) }
}

/** Of a model's answer: attempts that were paid in vain. Of a message: what the agents behind a call have cost. Of an agent: what it has cost. */
const answerCosts = ['lost'] as const
const childCosts = ['spent'] as const
const agentCosts = ['turnSpent', 'runSpent'] as const

function withoutCosts(value: unknown, names: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null || !names.some((name) => name in value)) return value
  return Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)))
}

/** A turn that starts over counts its calls anew. */
const withoutVersion = (key: string): string => key.replace(/^call\/(\d+)\.\d+\//, 'call/$1/')

function toState(kind: string, snapshot: unknown): unknown {
  const actor = (snapshot as { readonly actor?: ActorState } | undefined)?.actor // see `ActorRecord`
  if (actor === undefined) return undefined
  const state = toActorState(actor)
  return kind === 'agent' ? { value: state.value, messages: Object(state.context).messages } : state // the rest says how the last turn began
}

/** The context of an agent's machine: only that counts what it has cost. */
interface AgentState {
  readonly turnKey: unknown
  readonly messages: readonly unknown[]
}

const isAgentState = (context: unknown): context is AgentState =>
  typeof context === 'object' &&
  context !== null &&
  'turnKey' in context &&
  'messages' in context &&
  Array.isArray(context.messages)

const toAgentState = (context: AgentState): unknown =>
  withoutCosts({ ...context, messages: context.messages.map((message) => withoutCosts(message, childCosts)) }, agentCosts)

interface ActorState {
  readonly status?: unknown
  readonly value?: unknown
  readonly context?: unknown
  readonly output?: unknown
  readonly error?: unknown
  readonly historyValue?: unknown
  readonly children?: Readonly<Record<string, { readonly snapshot: ActorState; readonly src?: unknown }>>
}

function toActorState({ status, value, context, output, error, historyValue, children = {} }: ActorState): ActorState {
  const below = Object.entries(children).map(([id, { src, snapshot }]) => [id, { src, snapshot: toActorState(snapshot) }])
  return {
    status,
    value,
    context: isAgentState(context) ? toAgentState(context) : context,
    output: isAgentState(context) ? withoutCosts(output, childCosts) : output,
    error: toComparable(error),
    historyValue,
    children: Object.fromEntries(below),
  }
}

/** Errors by what they say: their stack and cause tell of the place, not of the state. */
function toComparable(value: unknown): unknown {
  if (!(value instanceof Error)) return value
  const { name, message } = value
  return isPerdureError(value) ? { name, code: value.code, message } : { name, message }
}
