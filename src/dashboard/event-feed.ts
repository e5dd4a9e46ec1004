import { randomUUID } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Management } from '../management/management.ts'
import type { RuntimeEvent } from '../runtime/events.ts'
import { toJsonView } from './json-view.ts'

/** What a page is told. `reload`: it may have missed something, and looks at everything again. */
type FeedMessage =
  | { readonly id: string; readonly type: 'event'; readonly event: unknown }
  | { readonly id: string; readonly type: 'reload' }
  /** The process that has the store open is gone, or is there again. */
  | { readonly id: string; readonly type: 'owner'; readonly isThere: boolean }

export interface EventFeed {
  /** Gives what came after `lastId`, and then what comes; `reload` first if that is not known any more. The function returned ends it. */
  subscribe(lastId: string | undefined, listener: (message: FeedMessage) => void): () => void
  close(): Promise<void>
}

/** How many messages are kept for a page that comes back. */
const KEPT = 2_000
const RETRY_MS = 500

/** Told by `stream()`, and more than a page can take in. */
const streamed: ReadonlySet<RuntimeEvent['type']> = new Set(['text.received', 'call.progressed'])

type Content = FeedMessage extends infer M ? (M extends unknown ? Omit<M, 'id'> : never) : never

/** One subscription to the events of a store, for all pages: also over the end of the process that has it open, and its successor. */
export function createEventFeed(management: Pick<Management, 'events' | 'info'>): EventFeed {
  const source = randomUUID()
  const kept: FeedMessage[] = []
  const listeners = new Set<(message: FeedMessage) => void>()
  const closing = new AbortController()
  let count = 0
  let isThere = true

  const tell = (content: Content): void => {
    const message = { id: `${source}.${++count}`, ...content } as FeedMessage // with an id, it is one
    kept.push(message)
    if (kept.length > KEPT) kept.shift()
    for (const listener of listeners) listener(message)
  }

  const toMissed = (lastId: string | undefined): readonly FeedMessage[] => {
    const owner: readonly FeedMessage[] = isThere ? [] : [{ id: `${source}.${count}`, type: 'owner', isThere }]
    if (lastId === undefined) return owner
    const [from, number] = lastId.split('.')
    const next = Number(number) + 1
    const first = count - kept.length + 1
    if (from !== source || !(next >= first && next <= count + 1)) return [{ id: `${source}.${count}`, type: 'reload' }, ...owner]
    return kept.slice(next - first)
  }

  const listen = async (): Promise<void> => {
    const { signal } = closing
    while (!signal.aborted) {
      try {
        await management.info()
        if (!isThere) {
          isThere = true
          tell({ type: 'owner', isThere })
          tell({ type: 'reload' })
        }
        for await (const event of management.events({ signal }))
          if (!streamed.has(event.type)) tell({ type: 'event', event: toJsonView(event).value })
      } catch {
        if (signal.aborted) return
        if (isThere) {
          isThere = false
          tell({ type: 'owner', isThere })
        }
      }
      await wait(RETRY_MS, undefined, { signal }).catch(() => {})
    }
  }
  const listening = listen()

  return {
    subscribe(lastId, listener) {
      for (const message of toMissed(lastId)) listener(message)
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    async close() {
      closing.abort()
      await listening
    },
  }
}
