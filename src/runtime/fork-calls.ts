import { z } from 'zod'
import { fromCallData, toCallData, toHandMessage } from '../actors/tool-message.ts'
import type { ToolCall, ToolMessage } from '../machines/conversation.ts'
import type { BrokenOffTurn } from '../machines/forked-state.ts'
import { stepRange, toStep } from '../persistence/keys.ts'
import type { StepRecord } from '../persistence/run-log.ts'
import { parseStep } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { toAnswerInvalid } from './answer-errors.ts'
import type { ForkOptions } from './fork-options.ts'
import { checkBySchema, QuestionData } from './questions.ts'
import { parseRecorded } from './recorded.ts'
import { toForkImpossible } from './run-errors.ts'
import { sumSpend, toSpentBefore } from './spend.ts'
import { callPrefix } from './turn-record.ts'

/** What is forked: a call of a turn. */
interface ForkedCall {
  readonly run: string
  readonly turn: number
  readonly version: number
  /** As {@link ForkPoint} names it, or the key of its step. */
  readonly call: string
}

/** The turn of a fork, up to the call at which it was forked. */
interface CallsBefore extends Pick<BrokenOffTurn, 'step' | 'results' | 'spent'> {
  /** How many messages came before the call. */
  readonly length: number
  /** The calls that had settled, by key, and what is said of this one instead. */
  readonly calls: readonly Entry[]
}

type Entry = readonly [key: string, record: StepRecord]

const ModelData = z.looseObject({ messages: z.int() })
const Answered = z.looseObject({ message: z.looseObject({ toolCalls: z.array(z.custom<ToolCall>()) }) })

/** Reads the calls of a turn before the one at which it is forked. Errors: `FORK_IMPOSSIBLE`, `ANSWER_INVALID`, `RUN_CORRUPT`. */
export async function readCallsBefore(
  store: Store,
  { run, turn, version, call }: ForkedCall,
  { result, answer }: Pick<ForkOptions, 'result' | 'answer'>,
  now: number,
): Promise<CallsBefore> {
  const impossible = (what: string): Error => toForkImpossible(run, `\`${call}\` of turn ${turn} ${what}`)
  const prefix = callPrefix(turn, version)
  const records = new Map<string, StepRecord>()
  for await (const [key, bytes] of store.entries(stepRange(run, prefix)))
    records.set(toStep(run, key), parseStep(run, key, bytes))
  /** Which model request of the turn a call is, or follows from. */
  const toRequest = (key: string): number => Number(/^m(\d+)/.exec(key.slice(prefix.length))?.[1] ?? Number.NaN)

  const name = call.startsWith(prefix) ? call.slice(prefix.length) : call
  const [, digits = '', rest = ''] = /^m(\d+)(?:\/(.*))?$/s.exec(name) ?? []
  const request = Number(digits)
  const modelKey = `${prefix}m${digits.padStart(3, '0')}`
  const model = records.get(modelKey)
  if (model === undefined) {
    const known = new Set([...records.keys()].map(toRequest).filter(Number.isInteger))
    throw impossible(`is no call. Its model requests are ${toList(known, '')}, and a tool call is named \`m1/<call id>\``)
  }
  const place = ModelData.safeParse(model.data)
  if (!place.success) throw impossible('was recorded by a version that forks turns only')
  const { messages } = place.data
  const settled = [...records].filter(
    ([, { status, kind, aborted }]) => status !== 'intended' && aborted !== true && kind !== 'limit',
  )
  const toBefore = (step: number, calls: readonly Entry[], results: Record<string, ToolMessage> = {}): CallsBefore => ({
    length: step === request ? messages + 1 : messages, // with the answer that asked for the tool
    step,
    results,
    calls,
    spent: toSpentBefore(sumSpend(calls.map(([, record]) => record))),
  })

  if (rest === '') {
    if (result !== undefined || answer !== undefined)
      throw impossible('asks a model: only a tool call has a `result`, and only what a person was asked an `answer`')
    return toBefore(
      request - 1,
      settled.filter(([key]) => toRequest(key) < request),
    )
  }

  const answered = Answered.safeParse(model.value)
  const asked = answered.success ? answered.data.message.toolCalls : []
  const tool = asked.find(({ id }) => rest === id || rest.startsWith(`${id}/`))
  if (tool === undefined)
    throw impossible(
      `is no call. The tool calls of that answer are ${toList(
        asked.map(({ id }) => id),
        `${request}/`,
      )}`,
    )
  const key = `${modelKey}/${tool.id}`
  const isOfTool = ([other]: Entry): boolean => other === key || other.startsWith(`${key}/`)
  const before = settled.filter((entry) => toRequest(entry[0]) <= request && !isOfTool(entry))
  const approved = settled.filter((entry) => isOfTool(entry) && entry[1].kind === 'approval')

  if (result !== undefined) {
    const executed = fromCallData(tool.name, records.get(key)?.data ?? toCallData(tool))
    const value = toHandMessage(executed, { result })
    const data = toCallData(executed)
    const times = { attempt: 1, startedAt: now, endedAt: now }
    const record: StepRecord = { kind: 'tool', name: tool.name, status: 'ok', ...times, resolution: 'answered', data, value }
    return toBefore(request, [...before, ...approved, [key, record]], { [tool.id]: value })
  }
  if (answer !== undefined) {
    const isAsked = ([other, { kind }]: Entry): boolean => kind === 'approval' || (kind === 'question' && other === key)
    const question = [...records].find((entry) => isOfTool(entry) && isAsked(entry))
    if (question === undefined) throw impossible('asked nobody: it has no `answer`')
    const { schema } = parseRecorded(QuestionData, question[1].data, run, `question \`${question[0]}\``)
    const issue = checkBySchema(schema, answer)
    if (issue !== undefined) throw toAnswerInvalid(run, question[0], issue)
    const record: StepRecord = { ...question[1], status: 'ok', endedAt: now, value: answer, error: undefined }
    return toBefore(request, [...before, [question[0], record]])
  }
  // What a person has allowed stays allowed, unless it is the question itself that is put again.
  return toBefore(request, rest === tool.id ? [...before, ...approved] : before)
}

const toList = (names: Iterable<string | number>, prefix: string): string =>
  [...names].map((name) => `\`m${prefix}${name}\``).join(', ') || 'none'
