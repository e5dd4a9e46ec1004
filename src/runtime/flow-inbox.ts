import type { EventObject } from 'xstate'
import { PerdureError } from '../errors.ts'
import { encodeRecord } from '../persistence/codec.ts'
import { eventKey, inboxRange } from '../persistence/keys.ts'
import { type Head, loadHead } from '../persistence/run-log.ts'
import { toStorable } from '../persistence/storable.ts'
import { createMailbox, type Mailbox } from './flow-mailbox.ts'
import { createInTurn } from './in-turn.ts'
import { readMessage, toMessageOperation } from './message.ts'
import { toEnded, toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'

/**
 * The events that runs of flows are sent. Each is a record of its own in the inbox of the run until a `waitFor` took it, so that it can be sent whether or not the
 * run is in memory, and outlives both processes (P1).
 *
 * A run that failed can be run again: it keeps its events, and takes more. One that completed or was cancelled takes none; what it left is dropped.
 */
export interface FlowInboxes {
  /**
   * Resolves when the event is on disk. One of an id that was taken before is not taken again. Errors: `RUN_NOT_FOUND`, `RUN_ENDED`, `RUN_CONFLICT` (it is no
   * flow), `VALUE_NOT_STORABLE`, `STORE_*`.
   */
  send(runId: string, event: EventObject, eventId?: string): Promise<void>
  /** There are new messages on disk for the run of a flow, or for one that there is not. */
  takeMessages(runId: string): Promise<void>
  /** The run is being executed, until `close`. */
  open(runId: string): FlowInbox
  /** Ends the run with `commit`: what was acknowledged before is dropped with `message.dropped`, what comes later is refused. */
  end(runId: string, commit: () => Promise<void>): Promise<void>
}

export interface FlowInbox extends Mailbox {
  /** See {@link FlowInboxes.end}. */
  end(commit: () => Promise<void>): Promise<void>
  close(): void
}

/** Whether a flow takes no more events. */
const isOver = ({ status }: Head): boolean => status === 'completed' || status === 'cancelled'

type Room = Pick<Services, 'store' | 'committer' | 'redact' | 'now' | 'nextMessage' | 'emit'>

export function createFlowInboxes({ store, committer, redact, now, nextMessage, emit }: Room): FlowInboxes {
  /** Taking events and ending: in the order in which they were asked for, so that nothing is acknowledged after the end. */
  const inTurn = createInTurn()
  const open = new Map<string, Mailbox>()
  /** What is being written. */
  const writing = new Map<string, Set<Promise<void>>>()
  /** Ids that are being written. */
  const writingIds = new Map<string, Promise<void>>()

  const write = (runId: string, event: EventObject, eventId: string | undefined): Promise<void> => {
    const operations = [toMessageOperation({ redact, nextMessage }, runId, { from: '', sentAt: now(), event })]
    if (eventId !== undefined) {
      const key = eventKey(runId, eventId)
      operations.push({ type: 'put', key, value: encodeRecord(key, now()) })
    }
    const written = committer.commit({ prepare: () => operations })
    const under = writing.get(runId) ?? new Set()
    writing.set(runId, under.add(written))
    const place = eventKey(runId, eventId ?? '')
    if (eventId !== undefined) writingIds.set(place, written)
    const forget = (): void => {
      under.delete(written)
      if (under.size === 0) writing.delete(runId)
      if (eventId !== undefined) writingIds.delete(place)
    }
    written
      .then(
        () => open.get(runId)?.onMessages(),
        () => {},
      )
      .finally(forget)
    return written
  }
  const drop = async (runId: string): Promise<void> => {
    for await (const [key, bytes] of store.entries(inboxRange(runId))) {
      const { from, event } = readMessage(key, bytes)
      await store.write([{ type: 'del', key }])
      emit({ type: 'message.dropped', runId, from, event })
    }
  }
  const end: FlowInboxes['end'] = (runId, commit) =>
    inTurn(runId, async () => {
      await Promise.allSettled(writing.get(runId) ?? [])
      await commit()
      await drop(runId).catch(() => {}) // it is dropped at the next opening
    })

  return {
    end,
    async send(runId, event, eventId) {
      toStorable(event)
      // The writing is not part of the turn: what is sent together is written together.
      const { written } = await inTurn(runId, async () => {
        const key = eventKey(runId, eventId ?? '')
        const head = await loadHead(store, runId)
        if (head === undefined) throw toNotFound(runId)
        if (head.kind !== 'flow')
          throw new PerdureError('RUN_CONFLICT', `The run \`${runId}\` is the ${head.kind} \`${head.name}\`, not a flow.`, {
            details: { run: runId },
          })
        if (eventId !== undefined) {
          const known = writingIds.get(key)
          if (known !== undefined) return { written: known }
          if ((await store.get(key)) !== undefined) return { written: undefined }
        }
        if (isOver(head)) throw toEnded(runId)
        return { written: write(runId, event, eventId) }
      })
      await written
    },
    async takeMessages(runId) {
      const mailbox = open.get(runId)
      if (mailbox !== undefined) return mailbox.onMessages()
      await inTurn(runId, async () => {
        if (open.has(runId)) return open.get(runId)?.onMessages()
        const head = await loadHead(store, runId)
        if (head === undefined || isOver(head)) await drop(runId)
      })
    },
    open(runId) {
      const mailbox = createMailbox(store, runId)
      open.set(runId, mailbox)
      return {
        ...mailbox,
        end: (commit) => end(runId, commit),
        close: () => void open.delete(runId),
      }
    },
  }
}
