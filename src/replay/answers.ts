import type { PerdureError } from '../errors.ts'
import type { ModelAnswer, ToolMessage } from '../machines/conversation.ts'
import { turnOf } from '../runtime/turn-record.ts'
import { type Divergence, type Place, toDiverged, toPlaceText } from './divergence.ts'
import type { RecordedCall } from './recorded-call.ts'
import type { RunRecording, TurnRecording } from './recording.ts'
import { type AskedRequest, createRequestCheck } from './request-check.ts'
import { type AfterRequest, readAfter } from './timeline.ts'
import { untilEnded } from './until-ended.ts'

/** What a replay does besides answering; `runId` is that of the replay. */
export interface Stage {
  /** Hands the turn under way a message of the user. */
  say(runId: string, event: { readonly type: 'steer' | 'interrupt'; readonly text: string }): Promise<void>
  /** Ends the turn under way as its caller did then. */
  abort(runId: string): void
  /** Lets the time pass that a limit allows. */
  pass(ms: number): void
  /** Resolves when nothing goes on any more by itself. */
  quiet(): Promise<void>
  /** The recording is at its end: what comes next is not known. */
  end(): void
  /** The replay cannot go on. */
  fail(error: PerdureError): void
}

/** A model request of the replay. */
interface ReplayedRequest extends AskedRequest {
  readonly key: string
  readonly signal: AbortSignal
  readonly askLive: () => Promise<ModelAnswer>
}

/** A tool call of the replay. */
interface ReplayedCall {
  readonly runId: string
  readonly key: string
  readonly callId: string
  readonly name: string
  readonly arguments: string
  readonly signal: AbortSignal
}

/** Answers what a replay asks for from what was recorded. */
export interface Answers {
  readonly divergences: readonly Divergence[]
  model(request: ReplayedRequest): Promise<ModelAnswer>
  /** The recorded result; `undefined`: there is none, and it is to be executed. */
  tool(call: ReplayedCall): Promise<ToolMessage | undefined>
  /** What a person answered; `undefined`: nothing, and what became of it instead is done. */
  person(runId: string, key: string): Promise<{ readonly answer: unknown } | undefined>
  /** Notes that there is no answer. Unless the replay may ask outside, it ends, and this throws `REPLAY_DIVERGED`. */
  miss(divergence: Omit<Divergence, 'text'>, what: string): void
  /** Ends the replay, whatever it may ask. */
  stop(divergence: Omit<Divergence, 'text'>, what: string): never
}

type KnownPlace = Place & { readonly place: string }

const toPlace = (key: string): string => key.replace(/^call\/[^/]+\//, '')

/** `runs`: the conversations, by the id that they have in the replay. */
export function createAnswers(runs: ReadonlyMap<string, RunRecording>, stage: Stage, onMiss: 'fail' | 'live'): Answers {
  const divergences: Divergence[] = []
  /** Calls whose recorded result was taken. */
  const taken = new Set<RecordedCall>()
  const findChange = createRequestCheck()

  const note = (divergence: Omit<Divergence, 'text'>, what: string): Divergence => {
    const whole: Divergence = { ...divergence, text: `${toPlaceText(divergence)} ${what}` }
    divergences.push(whole)
    return whole
  }
  const stop: Answers['stop'] = (divergence, what) => {
    const error = toDiverged(note(divergence, what))
    stage.fail(error)
    throw error // whatever comes of that: nothing is asked outside
  }
  const miss: Answers['miss'] = (divergence, what) => {
    if (onMiss === 'fail') stop(divergence, what)
    else note(divergence, what)
  }

  const find = (
    runId: string,
    key: string,
  ): { run: RunRecording | undefined; turn: TurnRecording | undefined; at: KnownPlace } => {
    const run = runs.get(runId)
    const number = turnOf(key)
    const turn = run?.turns.find((recorded) => recorded.turn === number)
    return { run, turn, at: { runId: run?.id ?? runId, turn: number, place: toPlace(key) } }
  }

  /** The turn ended here: by whom, its record says, and that is done again. False: nobody ended it. */
  const cutOff = ({ record }: TurnRecording, runId: string): boolean => {
    const error = record.status === 'error' ? record.error : undefined
    const limitMs = readTimeLimit(error)
    if (record.status === 'intended') stage.end()
    else if (readField(error, 'code') === 'ABORTED') stage.abort(runId)
    else if (limitMs !== undefined) stage.pass(limitMs)
    else return false
    return true
  }

  const interrupt = async (runId: string, said: readonly string[]): Promise<void> => {
    const [first = '', ...rest] = said
    await stage.quiet() // what settled before it was interrupted has settled
    await stage.say(runId, { type: 'interrupt', text: first })
    for (const text of rest) await stage.say(runId, { type: 'steer', text })
  }

  const noAnswer = (at: Place): void => miss({ ...at, kind: 'missing', changed: [] }, 'has no answer in the recording')

  /** The request that the call or question at `place` belongs to, and what followed it. */
  const findAround = (run: RunRecording, turn: TurnRecording, place: string): AfterRequest | undefined => {
    const request = turn.calls.find(({ kind, place: asked }) => kind === 'model' && asked === place.split('/')[0])
    return request === undefined ? undefined : readAfter(run, turn, request)
  }

  return {
    divergences,
    miss,
    stop,

    async model(request) {
      const { runId, key, signal, askLive } = request
      const { run, turn, at } = find(runId, key)
      if (run === undefined || turn === undefined) {
        miss({ ...at, kind: 'missing', changed: [] }, 'is not in the recording')
        return askLive()
      }
      const change = findChange(request, run, turn)
      if (change?.isFirst === true) {
        const { changed, recorded, replayed, text } = change
        miss({ ...at, kind: 'changed', changed, recorded, replayed }, text)
      }
      if (change !== undefined) return askLive()
      const found = turn.calls.find(({ place, kind }) => place === at.place && kind === 'model')
      const { next, said, broken } = found === undefined ? NOTHING_AFTER : readAfter(run, turn, found)
      if (next?.role === 'user' && said.length > 0) {
        await interrupt(runId, said)
        return untilEnded(signal)
      }
      if (found?.status === 'ok' && next?.role === 'assistant') {
        if (broken.size === 0) for (const text of said) await stage.say(runId, { type: 'steer', text })
        taken.add(found)
        return found.value as ModelAnswer // the model actor's output
      }
      if (found?.status === 'error') throw found.error
      if (cutOff(turn, runId)) return untilEnded(signal)
      noAnswer(at)
      return askLive()
    },

    async tool({ runId, key, callId, name, arguments: text, signal }) {
      const { run, turn, at } = find(runId, key)
      const isSame = (call: RecordedCall): boolean => call.kind === 'tool' && call.name === name && call.arguments === text
      const found = turn?.calls.find((call) => call.place === at.place && isSame(call))
      if (run !== undefined && turn !== undefined && found !== undefined) {
        const { said, broken } = findAround(run, turn, at.place) ?? NOTHING_AFTER
        if (broken.has(callId) && said.length > 0) {
          await interrupt(runId, said)
          return untilEnded(signal)
        }
        if (found.status === 'ok' && !broken.has(callId)) {
          taken.add(found)
          return found.value as ToolMessage // the tool actor's output
        }
        if (found.status === 'error') throw found.error
        if (cutOff(turn, runId)) return untilEnded(signal)
        noAnswer(at)
        return undefined
      }
      // Elsewhere, after a divergence: what was recorded of it is not executed again.
      const calls = [...runs.values()].flatMap(({ turns }) => turns.flatMap((recorded) => recorded.calls))
      const same = calls.filter((call) => call.status === 'ok' && isSame(call))
      const other = same.find((call) => !taken.has(call)) ?? same[0]
      if (other !== undefined && onMiss === 'live') {
        taken.add(other)
        return other.value as ToolMessage // see above
      }
      miss({ ...at, kind: 'missing', changed: [], replayed: { name, arguments: text } }, `(\`${name}\`) is not in the recording`)
      return undefined
    },

    async person(runId, key) {
      const { run, turn, at } = find(runId, key)
      const found = turn?.calls.find(({ place }) => place === at.place)
      if (found?.status === 'ok') return { answer: found.value }
      if (run !== undefined && turn !== undefined) {
        const { said, broken } = findAround(run, turn, at.place) ?? NOTHING_AFTER
        if (said.length > 0 && broken.has(at.place.split('/')[1] ?? '')) await interrupt(runId, said)
        else if (!cutOff(turn, runId))
          stop({ ...at, kind: 'missing', changed: [] }, 'waits for a person, and the recording has no answer')
      } else stop({ ...at, kind: 'missing', changed: [] }, 'waits for a person, and is not in the recording')
      return undefined
    },
  }
}

const NOTHING_AFTER: AfterRequest = { next: undefined, said: [], broken: new Set() }

const readField = (value: unknown, field: string): unknown =>
  typeof value === 'object' && value !== null && field in value ? (value as Readonly<Record<string, unknown>>)[field] : undefined

/** The milliseconds that a turn was limited to that ended for it. */
function readTimeLimit(error: unknown): number | undefined {
  const details = readField(error, 'details')
  const max = readField(details, 'max')
  return readField(error, 'code') === 'LIMIT_REACHED' && readField(details, 'limit') === 'wallTimeMs' && typeof max === 'number'
    ? max
    : undefined
}
