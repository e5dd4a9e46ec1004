/**
 * The stream of a run: what its model calls write and its steps tell, as it comes. It is the difference between what a subscriber was given and what there is,
 * and so is what was recorded, what is in flight, and what a slow or late subscriber has missed, by one rule:
 *
 * - What was given of a call and not said to be void is always the beginning of what there is of it, whatever crashed meanwhile. No token comes twice.
 * - Nothing is kept for a subscriber but where it is, and the calls in flight: what has settled is in the journal.
 */
import { loadHead } from '../persistence/run-log.ts'
import { toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'
import type { RunningCall, StreamedCall } from './stream-call.ts'
import { nextPiece, type StreamPiece } from './stream-given.ts'
import { findRecorded, isOver, readRecord, toRecordedCall } from './stream-journal.ts'
import { parseCallKey } from './stream-key.ts'
import { parseOffset, toOffset } from './stream-offset.ts'
import {
  addAgent,
  createPosition,
  findAgent,
  forgetOther,
  leavesBehind,
  placeCall,
  type StreamPosition,
} from './stream-position.ts'
import { type Subscription, subscribe, written } from './stream-subscription.ts'

/** One piece of a stream. */
export type StreamChunk = StreamPiece & {
  /** Continues the stream after this chunk, in this process or another. */
  readonly offset: string
  readonly runId: string
  /** Names the step in its run. */
  readonly key: string
  /** Which attempt at the step, counted from 1. */
  readonly attempt: number
}

/** Where a stream begins, and when it ends. */
export interface StreamOptions {
  /** That of the last chunk that was taken. Default: the stream begins with the turn that is under way, or was last. */
  readonly offset?: string | undefined
  /** Ends the stream with `ABORTED`. */
  readonly signal?: AbortSignal | undefined
  /** False: ends when all that there is now was given. Default: ends when the run does; that of a session does not end by itself. */
  readonly follow?: boolean | undefined
}

/** Internal. `mayBegin`: that the run is not on disk yet is no error. */
interface StreamRequest extends StreamOptions {
  readonly mayBegin?: boolean
}

export type StreamServices = Pick<Services, 'store' | 'committer' | 'streams' | 'now' | 'closing'>

/** How many chunks one call gives before another has its turn. */
const MAX_CHUNKS = 64

/**
 * The stream of a run and of the runs within it (`<run>/…`): any number of subscribers, each at its own pace. One that is slow has text in larger pieces, and
 * progress with gaps (`dropped`). A `discarded` chunk says that what was given of an attempt is void: it was cut off by a crash, or failed and is made again.
 *
 * Of model calls everything is given, from an offset on also what came while nobody listened; of other steps what they tell while they run. Reading does not
 * load the run. Errors, when it is iterated: `RUN_NOT_FOUND`, `RUN_CORRUPT`, `ABORTED` by its signal, `STORE_CLOSED` when the runtime closes; at once, a `TypeError` for
 * an offset that is none.
 */
export function streamRun(services: StreamServices, runId: string, request: StreamRequest = {}): AsyncIterable<StreamChunk> {
  const { streams, now } = services
  const { offset, signal, follow } = request
  if (follow !== undefined && typeof follow !== 'boolean')
    throw new TypeError(`Expected \`follow\` to be a boolean, got \`${String(follow)}\` (${typeof follow})`)
  if (offset !== undefined) parseOffset(runId, streams.source, offset)

  async function* generate(): AsyncGenerator<StreamChunk, void, undefined> {
    const position = offset === undefined ? createPosition(now()) : parseOffset(runId, streams.source, offset)
    const subscription = subscribe(services, runId, signal)
    const { changed } = subscription
    try {
      let isNew = offset === undefined
      do {
        subscription.assertGoing()
        for (const call of streams.callsOf(runId)) {
          if (isNew) meet(position, call, now())
          changed.add(call)
        }
        yield* giveRecorded(position, subscription, isNew)
        isNew = false
        const present = [...changed]
        for (let call = present.shift(); call !== undefined; call = present.shift())
          if (changed.delete(call)) yield* give(position, subscription, call, call)
        if (follow === false) return
        if (subscription.isBehind) continue
        for (;;) {
          subscription.assertGoing()
          const [call] = changed
          if (subscription.isBehind) break
          if (call === undefined) {
            if (subscription.isEnded) return
            await subscription.next()
            continue
          }
          changed.delete(call)
          yield* give(position, subscription, call, call)
        }
      } while (subscription.isBehind)
    } finally {
      subscription.leave()
    }
  }

  async function* giveRecorded(
    position: StreamPosition,
    subscription: Subscription,
    isNew: boolean,
  ): AsyncGenerator<StreamChunk> {
    subscription.isBehind = false
    await subscription.until(written(services.committer))
    const root = await loadHead(services.store, runId)
    if (root === undefined) {
      if (request.mayBegin === true || subscription.changed.size > 0) return
      throw toNotFound(runId)
    }
    if (streams.callsOf(runId).length === 0 && (await isOver(services.store, root))) subscription.isEnded = true
    for (const recorded of await findRecorded(services.store, root, position, isNew, now())) {
      subscription.assertGoing()
      const isKnown = [...subscription.changed].some(({ runId, key }) => runId === recorded.runId && key === recorded.key)
      const record = isKnown ? undefined : await readRecord(services.store, recorded)
      if (record === undefined) continue
      yield* give(position, subscription, toRecordedCall(recorded.runId, recorded.key, record, streams.nextEpoch()))
    }
  }

  /** Gives what there is of a call and was not given. It may get more meanwhile. */
  async function* give(
    position: StreamPosition,
    subscription: Subscription,
    call: StreamedCall,
    running?: RunningCall,
  ): AsyncGenerator<StreamChunk> {
    const toChunk = (of: Pick<StreamChunk, 'runId' | 'key'>, piece: StreamPiece & { readonly attempt: number }): StreamChunk => {
      position.heardAt = now()
      return { ...piece, runId: of.runId, key: of.key, offset: toOffset(runId, streams.source, position) }
    }
    if (running !== undefined && leavesBehind(position, call)) await subscription.until(written(services.committer))
    for (let count = 0; ; count++) {
      const placed = placeCall(position, call, running !== undefined, now())
      if (placed === undefined) return
      if ('key' in placed) {
        yield toChunk(placed, { type: 'discarded', attempt: placed.attempt })
        continue
      }
      const piece = nextPiece(placed, call)
      if (piece?.type === 'settled') {
        forgetOther(position, call)
        if (running !== undefined) subscription.changed.delete(running)
        return yield toChunk(call, piece)
      }
      if (piece === undefined) return
      yield toChunk(call, piece)
      subscription.assertGoing()
      if (count < MAX_CHUNKS || running?.status !== 'intended') continue
      subscription.changed.add(running)
      return
    }
  }

  return { [Symbol.asyncIterator]: generate }
}

/** Puts the agent of a call in flight among those that are heard of: what it gave before is part of the turn. */
function meet(position: StreamPosition, { runId, key }: StreamedCall, now: number): void {
  const place = parseCallKey(key)
  if (place !== undefined && findAgent(position, runId, place.agent) === undefined)
    addAgent(position, runId, place.agent, place.turn, now)
}
