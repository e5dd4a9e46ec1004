/** Why a run is as it is, in a sentence: what it waits for, what it does, or what it came to. */
import type { CallNode, RunDetails } from '../../management/management.ts'
import type { AcceptedEvent } from './accepted-events.ts'
import { toAllCalls } from './flatten.ts'
import { toAge, toDuration, toWhen } from './time.ts'

export interface Why {
  readonly tone: 'asks' | 'waiting' | 'running' | 'good' | 'bad' | 'doubt' | 'quiet'
  readonly title: string
  readonly detail: string | undefined
}

const kindNames: Readonly<Record<string, string>> = {
  model: 'the model',
  tool: 'the tool',
  step: 'the step',
  sleep: 'the pause',
  wait: 'the event',
}
const toName = ({ kind, name }: CallNode): string => `${kindNames[kind] ?? kind} ${name}`
const isAt = (status: CallNode['status']) => (call: CallNode) => call.status === status

export function toWhy(details: RunDetails, events: readonly AcceptedEvent[], isOwnerGone: boolean): Why {
  const { status, questions, error, waitsFor, endedAt, createdAt } = details
  const calls = toAllCalls(details)
  const [question, ...others] = questions
  if (question !== undefined) {
    const more = others.length === 0 ? '' : ` And ${others.length} more below.`
    const since = `Asked ${toAge(question.askedAt)}.${more}`
    if (question.kind === 'approval')
      return { tone: 'asks', title: `It waits for you: may it call ${question.name}?`, detail: since }
    if (question.kind === 'limit')
      return { tone: 'asks', title: `It waits for you: it has reached its limit of ${question.name}`, detail: since }
    if (question.kind === 'doubt') return { tone: 'asks', title: `It waits for you: did ${question.name} happen?`, detail: since }
    return { tone: 'asks', title: 'It waits for your answer', detail: since }
  }
  if (status === 'completed')
    return { tone: 'good', title: 'It is done', detail: `After ${toDuration((endedAt ?? details.updatedAt) - createdAt)}.` }
  if (status === 'failed') return { tone: 'bad', title: 'It failed', detail: toErrorText(error) }
  if (status === 'cancelled') return { tone: 'quiet', title: 'It was cancelled', detail: error?.message }
  if (status === 'incompatible')
    return { tone: 'bad', title: 'It does not fit the machine as it is now', detail: toErrorText(error) }
  if (isOwnerGone)
    return {
      tone: 'waiting',
      title: 'It waits for its process, which ended',
      detail: 'What was acknowledged is on disk. It goes on when the app is started again.',
    }
  const doubt = calls.find(isAt('inDoubt'))
  if (doubt !== undefined)
    return {
      tone: 'doubt',
      title: `It was cut off in ${toName(doubt)}, and nobody knows whether that happened`,
      detail: 'It goes on when its app asks for it again, or when you have said what it came to.',
    }
  const retrying = calls.find(isAt('retrying'))
  if (retrying !== undefined)
    return {
      tone: 'waiting',
      title: `It tries ${toName(retrying)} again ${retrying.retryAt === undefined ? 'soon' : toAge(retrying.retryAt)}`,
      detail: retrying.error?.message ?? `Attempt ${retrying.attempt} failed.`,
    }
  const running = calls.filter(isAt('running')).at(-1)
  if (running !== undefined)
    return {
      tone: 'running',
      title: running.kind === 'model' ? `The model ${running.name} is answering` : `It executes ${toName(running)}`,
      detail: `Since ${toWhen(running.startedAt)}, ${toAge(running.startedAt)}.`,
    }
  const turn = details.tree.find((each) => each.status === 'inDoubt')
  if (turn !== undefined)
    return {
      tone: 'waiting',
      title: `It was cut off in turn ${turn.turn}`,
      detail: 'It goes on when its app asks for it again. What had settled is not paid again.',
    }
  const until = waitsFor?.startsWith('until ') === true ? Date.parse(waitsFor.slice('until '.length)) : undefined
  if (until !== undefined)
    return {
      tone: 'waiting',
      title: `It waits until ${toWhen(until)}`,
      detail: `That is ${toAge(until)}.${toEventsText(events, ' Or for')}`,
    }
  const waiting = calls.find(isAt('waiting'))
  if (waiting !== undefined)
    return { tone: 'waiting', title: `It waits for ${toName(waiting)}`, detail: `Since ${toWhen(waiting.startedAt)}.` }
  if (waitsFor !== undefined)
    return { tone: 'waiting', title: `It waits for ${waitsFor}`, detail: toEventsText(events, 'It takes').trim() || undefined }
  if (details.kind === 'agent') return { tone: 'quiet', title: 'It waits for its next prompt', detail: undefined }
  return { tone: 'running', title: 'It is running', detail: `Changed ${toAge(details.updatedAt)}.` }
}

const toErrorText = (error: RunDetails['error']): string | undefined =>
  error === undefined ? undefined : `${error.code === undefined ? '' : `${error.code}: `}${error.message}`

function toEventsText(events: readonly AcceptedEvent[], start: string): string {
  const types = events.map(({ type }) => type)
  if (types.length === 0) return ''
  const last = types.slice(-1)
  const text = types.length === 1 ? last : `${types.slice(0, -1).join(', ')} or ${last}`
  return `${start} ${types.length === 1 ? 'the event' : 'one of the events'} ${text}.`
}
