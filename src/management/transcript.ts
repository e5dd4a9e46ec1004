import type { Message } from '../machines/conversation.ts'
import { stepRange, toStep } from '../persistence/keys.ts'
import { loadHead } from '../persistence/run-log.ts'
import { parseStep } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { parseTurn, turnOf } from '../runtime/turn-record.ts'
import type { TranscriptMessage } from './management.ts'
import { readHead, readHeadData, readHeadsWithin, readSnapshot, type StoredActor, toStoredActor } from './reading.ts'

const isMessages = (value: unknown): value is readonly Message[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null && 'role' in item)

/** The messages of an agent's actor; of another, none. */
export function toMessages({ context }: StoredActor): readonly Message[] {
  const messages = typeof context === 'object' && context !== null && 'messages' in context ? context.messages : undefined
  return isMessages(messages) ? messages : []
}

/** The actor and those below it. */
function* walk(actor: StoredActor): Generator<StoredActor> {
  yield actor
  for (const { snapshot } of Object.values(actor.children ?? {}))
    if (typeof snapshot === 'object' && snapshot !== null) yield* walk(snapshot)
}

/** Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
export async function* readTranscript(store: Store, id: string): AsyncGenerator<TranscriptMessage> {
  const { kind } = await readHead(store, id)
  yield* readOwn(store, id, kind)
  if (kind === 'agent') return // an agent that works for a call of it is asked for by its own id
  for await (const inner of readHeadsWithin(store, id)) yield* readOwn(store, inner.id, inner.kind)
}

async function* readOwn(store: Store, runId: string, kind: string): AsyncGenerator<TranscriptMessage> {
  if (kind === 'flow') return
  const { value } = await readSnapshot(store, runId)
  const actor = toStoredActor(value)
  if (kind !== 'agent') {
    for (const each of walk(actor)) for (const message of toMessages(each)) yield { runId, turn: 0, message }
    return
  }
  const starts = await readStarts(store, runId)
  let turn = 0
  let next = 0
  for (const [index, message] of toMessages(actor).entries()) {
    for (let known = starts[next]; known !== undefined && known.start <= index; known = starts[++next]) turn = known.turn
    yield { runId, turn, message }
  }
}

/** How many messages came before each turn, in the order of the turns. Those that are the origin's of a fork are known as long as that is there. */
async function readStarts(store: Store, runId: string): Promise<readonly { readonly turn: number; readonly start: number }[]> {
  const starts: { readonly turn: number; readonly start: number }[] = []
  let before = Number.POSITIVE_INFINITY
  let head = await loadHead(store, runId)
  while (head !== undefined) {
    const own: typeof starts = []
    for await (const [key, bytes] of store.entries(stepRange(head.id, 'turn/'))) {
      const turn = turnOf(toStep(head.id, key))
      if (turn < before) own.push({ turn, start: parseTurn(head.id, parseStep(head.id, key, bytes)).start })
    }
    starts.unshift(...own)
    const { fork } = readHeadData(head)
    if (fork === undefined) break
    before = fork.turn
    head = await loadHead(store, fork.run)
    if (head?.createdAt !== fork.createdAt) break
  }
  return starts
}
