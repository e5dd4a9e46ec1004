import type { QuestionKind } from '../actors/question.ts'
import { questionRange, stepKey, toQuestion } from '../persistence/keys.ts'
import { loadHead } from '../persistence/run-log.ts'
import { parseStep } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { MACHINE } from './machine-head.ts'
import { QuestionData } from './questions.ts'
import { parseRecorded } from './recorded.ts'

/** Something that waits for a person. */
export interface Pending {
  readonly runId: string
  /** What to answer it by: `run.answer(id, …)`. Unique in its run. */
  readonly id: string
  /**
   * `approval`: a tool call wants to be approved. `question`: the model or the code has a question. `doubt`: a step was cut off, and nobody knows what it
   * came to. `limit`: a limit was reached.
   */
  readonly kind: QuestionKind
  /** The name of the tool, the question, the step or the limit that it is about. */
  readonly name: string
  readonly text: string
  /** JSON Schema of the answer. */
  readonly schema: Readonly<Record<string, unknown>>
  /** The tool call that it is about. `arguments` is the text that the model wrote. */
  readonly call: { readonly name: string; readonly arguments: string } | undefined
  /** What was wrong with an answer that was given while the code that checks it was not there. */
  readonly refused: string | undefined
  /** Epoch milliseconds. */
  readonly askedAt: number
}

/** Which questions are listed: all of them, when nothing is said. */
export interface PendingFilter {
  /** Only what this run, or one that belongs to it (`<run>/…`), waits for. Default: all runs. */
  readonly run?: string | undefined
}

/** What waits for a person, over all runs that have not ended, whether or not they are in memory. Errors: `RUN_CORRUPT`. */
export async function* listPending(store: Store, { run }: PendingFilter = {}): AsyncIterable<Pending> {
  let last: { readonly run: string; readonly isEnded: boolean } | undefined
  for await (const [place] of store.entries(questionRange())) {
    const { run: runId, step: id } = toQuestion(place)
    if (run !== undefined && runId !== run && !runId.startsWith(`${run}/`)) continue
    if (last?.run !== runId) {
      const head = await loadHead(store, runId)
      // A flow or a turn that failed can be run again.
      const { status } = head ?? {}
      const isEnded =
        head === undefined ||
        (head.kind === MACHINE ? head.endedAt !== undefined : status === 'completed' || status === 'cancelled')
      last = { run: runId, isEnded }
    }
    if (last.isEnded) continue
    const key = stepKey(runId, id)
    const bytes = await store.get(key)
    const record = bytes === undefined ? undefined : parseStep(runId, key, bytes)
    if (record?.status !== 'intended') continue // answered since
    const { text, schema, call, refused } = parseRecorded(QuestionData, record.data, runId, `question \`${id}\``)
    const kind = record.kind as QuestionKind // written by `questions`
    yield { runId, id, kind, name: record.name, text, schema, call, refused, askedAt: record.startedAt }
  }
}
