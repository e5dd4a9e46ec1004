import { isPerdureError, type PerdureError } from '../errors.ts'
import { headKey, questionKey, questionRange, rangeOf, stepKey, toQuestion, toRunId } from '../persistence/keys.ts'
import { type Head, loadHeads } from '../persistence/run-log.ts'
import { parseHead, parseStep } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { MACHINE } from '../runtime/machine-head.ts'
import type { RunInfo } from '../runtime/run-list.ts'
import { addSpend, NO_SPEND, toOwnSpend } from '../runtime/spend.ts'
import { turnKey } from '../runtime/turn-record.ts'
import type { ErrorText, RunQuery, RunSummary, UnreadableRun } from './management.ts'
import { type HeadData, readHeadData, readHeadsWithin, readSnapshot, toErrorText, toStoredActor } from './reading.ts'
import { parseQuery } from './run-query.ts'

/** How many runs are read at once. */
const PAGE = 32

/** The runs that a query asks for. Errors: a `TypeError`, at once. */
export function listSummaries(
  store: Store,
  query: RunQuery | undefined,
  now: () => number,
): AsyncIterable<RunSummary | UnreadableRun> {
  const { after, limit = Number.POSITIVE_INFINITY, isWanted, ids, hasPending } = parseQuery(query)

  async function* generate(): AsyncGenerator<RunSummary | UnreadableRun> {
    const asked = hasPending === undefined ? undefined : await readAsked(store)
    let left = limit
    let page: Promise<RunSummary | UnreadableRun | undefined>[] = []
    if (left === 0) return
    // Of those that are named or wait there are few: not all heads are read to find them.
    const few = ids === undefined ? (hasPending === true ? asked : undefined) : new Set(ids)
    const heads = few === undefined ? loadHeads(store, after) : loadHeadsOf(store, few, after)
    for await (const head of heads) {
      if (isPerdureError(head)) page.push(Promise.resolve(toUnreadable(String(head.details.run), head)))
      else {
        if (asked !== undefined && asked.has(head.id) !== hasPending) continue
        if (!isWanted(head)) continue
        const summary = toSummary(store, head, now()).catch((error: unknown) => toUnreadable(head.id, error))
        summary.catch(() => {}) // whoever asked may have gone before it is given
        page.push(summary)
      }
      left--
      if (left > 0 && page.length < PAGE) continue
      yield* give(page)
      page = []
      if (left === 0) return
    }
    yield* give(page)
  }
  return { [Symbol.asyncIterator]: generate }
}

async function* give<T>(page: readonly Promise<T | undefined>[]): AsyncGenerator<T> {
  for (const item of page) {
    const found = await item
    if (found !== undefined) yield found
  }
}

/** Undefined: it was deleted while it was read. */
function toUnreadable(id: string, error: unknown): UnreadableRun | undefined {
  if (isPerdureError(error, 'RUN_NOT_FOUND')) return undefined
  if (!isPerdureError(error) || error.code === 'STORE_CLOSED' || error.code === 'STORE_FENCED') throw error
  return { id, status: 'unreadable', error: toErrorText(error) }
}

/** The heads of those of `ids` that there are, as `loadHeads` gives them. */
async function* loadHeadsOf(
  store: Store,
  ids: ReadonlySet<string>,
  after: string | undefined,
): AsyncIterable<Head | PerdureError> {
  const first = after === undefined ? '' : headKey(after)
  for (const key of [...ids].map(headKey).sort()) {
    if (key <= first) continue
    const bytes = await store.get(key)
    if (bytes !== undefined) yield readHeadAt(key, bytes)
  }
}

function readHeadAt(key: string, bytes: Uint8Array): Head | PerdureError {
  try {
    return parseHead(toRunId(key), key, bytes)
  } catch (error) {
    if (!isPerdureError(error)) throw error
    return error
  }
}

/** The runs that have questions, or have a run within them that has. */
async function readAsked(store: Store): Promise<ReadonlySet<string>> {
  const asked = new Set<string>()
  for await (const [key] of store.entries(questionRange())) {
    const parts = toQuestion(key).run.split('/')
    for (let length = parts.length; length > 0; length--) asked.add(parts.slice(0, length).join('/'))
  }
  return asked
}

/** Errors: `RUN_CORRUPT`, `RUN_NOT_FOUND` when it is deleted meanwhile. */
export async function toSummary(store: Store, first: Head, now: number): Promise<RunSummary> {
  const isMachine = first.kind === MACHINE
  const { head, value } = isMachine ? await readSnapshot(store, first.id) : { head: first, value: undefined }
  const data = readHeadData(head)
  let { turns = 0 } = data
  let spend = addSpend(toOwnSpend(data), NO_SPEND)
  for await (const inner of readHeadsWithin(store, head.id)) {
    if (inner.kind !== 'agent') continue
    const innerData = readHeadData(inner)
    turns += innerData.turns ?? 0
    spend = addSpend(spend, toOwnSpend(innerData))
  }
  const { pending, text } = await readQuestions(store, head)
  const { id, name, status, createdAt, updatedAt, endedAt, wakeAt } = head
  return {
    id,
    kind: head.kind as RunInfo['kind'], // there are no others
    name,
    status,
    createdAt,
    updatedAt,
    endedAt,
    wakeAt,
    parent: data.parent,
    forkedFrom: data.fork && { run: data.fork.run, turn: data.fork.turn },
    state: isMachine ? toStoredActor(value).value : undefined,
    turns,
    spend,
    pending,
    waitsFor:
      head.dormant === true ? 'resume' : (text ?? (isMachine && status === 'running' ? toWaitText(wakeAt, now) : undefined)),
    error: await readError(store, head, data),
  }
}

function toWaitText(wakeAt: number | undefined, now: number): string | undefined {
  if (wakeAt === undefined) return 'an event'
  return wakeAt > now ? `until ${new Date(wakeAt).toISOString()}` : undefined
}

const QUESTION_TEXTS: Readonly<Record<string, string>> = {
  approval: 'approval of',
  question: 'answer to',
  doubt: 'word about',
  limit: 'more of',
}

/** How many questions are open, and what the first is. */
async function readQuestions(store: Store, head: Head): Promise<{ readonly pending: number; readonly text: string | undefined }> {
  // A flow or a turn that failed can be run again.
  const isOver =
    head.status === 'completed' || head.status === 'cancelled' || (head.kind === MACHINE && head.endedAt !== undefined)
  if (isOver) return { pending: 0, text: undefined }
  let pending = 0
  let text: string | undefined
  const within = rangeOf(`${questionKey(head.id, '').slice(0, -1)}%2F`)
  for (const range of [questionRange(head.id), within])
    for await (const [place] of store.entries(range)) {
      const { run, step } = toQuestion(place)
      const key = stepKey(run, step)
      const bytes = await store.get(key)
      const record = bytes === undefined ? undefined : parseStep(run, key, bytes)
      if (record?.status !== 'intended') continue // answered since
      pending++
      text ??= `${QUESTION_TEXTS[record.kind] ?? record.kind} ${record.name}`
    }
  return { pending, text: pending > 1 ? `${text}, and ${pending - 1} more` : text }
}

async function readError(store: Store, head: Head, data: HeadData): Promise<ErrorText | undefined> {
  const { reason, missing = [], error, turns = 0 } = data
  switch (head.status) {
    case 'cancelled':
      return { code: 'RUN_CANCELLED', message: reason ?? 'It was cancelled' }
    case 'incompatible':
      return { code: 'RUN_INCOMPATIBLE', message: `Its machine no longer has ${missing.join(', ')}` }
    case 'failed':
      return error === undefined ? readTurnError(store, head.id, turns) : toErrorText(error)
    default:
      return undefined
  }
}

async function readTurnError(store: Store, id: string, turn: number): Promise<ErrorText | undefined> {
  const key = stepKey(id, turnKey(turn))
  const bytes = await store.get(key)
  const record = bytes === undefined ? undefined : parseStep(id, key, bytes)
  return record?.status === 'error' ? toErrorText(record.error) : undefined
}
