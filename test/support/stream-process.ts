import { createCommitter } from '../../src/persistence/commit.ts'
import { stepRange } from '../../src/persistence/keys.ts'
import { createRunLog, openRunLog, type RunLog } from '../../src/persistence/run-log.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'
import { type StreamChunk, type StreamOptions, type StreamServices, streamRun } from '../../src/runtime/stream.ts'
import { createStreams, type StreamHooks } from '../../src/runtime/stream-hooks.ts'

export const drain = async (): Promise<void> => {
  for (let count = 0; count < 12; count++) await new Promise((resolve) => setImmediate(resolve))
}

/** A process as far as streams are concerned: what it writes reaches the disk when it is let through, or never. */
export interface StreamProcess {
  readonly services: StreamServices
  readonly streams: StreamHooks
  readonly log: RunLog
  stream(options?: StreamOptions): AsyncIterable<StreamChunk>
  /** Lets through what waits to be written, and from now on everything until {@link StreamProcess.hold}. */
  flush(): Promise<void>
  hold(): void
  /** Nothing that waits is written any more, and nobody hears from it again. */
  kill(): void
}

export async function openStreamProcess(
  disk: Store,
  runId: string,
  time: { ms: number },
  kind = 'agent',
): Promise<StreamProcess> {
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  let isOpen = true
  const closing = new AbortController()
  const store: Store = {
    location: disk.location,
    epoch: disk.epoch,
    get: (key) => disk.get(key),
    getMany: (keys) => disk.getMany(keys),
    entries: (range) => disk.entries(range),
    async write(operations: readonly Operation[], options) {
      await gate.promise
      await disk.write(operations, options)
    },
    compact: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
  const now = (): number => time.ms++
  const committer = createCommitter(store, { sync: false })
  const streams = createStreams()
  const services: StreamServices = { store, committer, streams, now, closing: closing.signal }
  const room = { store, committer, now }
  const known = await openRunLog(room, runId)
  const log = known ?? createRunLog(room, { id: runId, kind, name: kind, data: {} })
  await log.loadSteps()
  if (known === undefined) await log.commit()
  return {
    services,
    streams,
    log,
    stream: (options) => streamRun(services, runId, options),
    async flush() {
      gate.resolve()
      isOpen = true
      await committer.idle()
    },
    hold() {
      if (isOpen) gate = Promise.withResolvers()
      isOpen = false
    },
    kill() {
      if (isOpen) gate = Promise.withResolvers()
      closing.abort(new Error('killed'))
    },
  }
}

/** The keys of what is on disk of a run. */
export async function storedSteps(disk: Store, runId: string): Promise<string[]> {
  const keys: string[] = []
  for await (const [key] of disk.entries(stepRange(runId))) keys.push(key)
  return keys
}

/** What a model came to that wrote this. */
export const toValue = (text: string, calls: Readonly<Record<string, string>> = {}) => ({
  message: {
    role: 'assistant',
    content: text,
    toolCalls: Object.entries(calls).map(([id, written]) => ({ id, name: 'note', arguments: written })),
  },
  usage: undefined,
  costUsd: undefined,
  model: 'm',
  responseId: undefined,
})

/** What a subscriber keeps of a call. */
export interface KeptCall {
  attempt: number
  text: string
  calls: Record<string, string>
  progress: unknown[]
  dropped: number
  status?: 'ok' | 'error'
}

/** Keeps chunks as a user would, and says what it must never see. */
export class Keeper {
  readonly calls = new Map<string, KeptCall>()
  readonly chunks: StreamChunk[] = []
  offset: string | undefined

  take(chunk: StreamChunk): void {
    this.chunks.push(chunk)
    this.offset = chunk.offset
    const id = `${chunk.runId}#${chunk.key}`
    const known = this.calls.get(id)
    if (chunk.type === 'discarded') {
      if (known === undefined) return
      if (known.attempt !== chunk.attempt) throw new Error(`${id}: attempt ${chunk.attempt} is void, not ${known.attempt}`)
      this.calls.delete(id)
      return
    }
    const call = known ?? { attempt: chunk.attempt, text: '', calls: {}, progress: [], dropped: 0 }
    if (call.attempt !== chunk.attempt) throw new Error(`${id}: attempt ${call.attempt} goes on as ${chunk.attempt}`)
    this.calls.set(id, call)
    if (chunk.type === 'text') call.text += chunk.delta
    else if (chunk.type === 'arguments') call.calls[chunk.callId] = (call.calls[chunk.callId] ?? '') + chunk.delta
    else if (chunk.type === 'progress') {
      call.progress.push(chunk.value)
      call.dropped += chunk.dropped
    } else call.status = chunk.status
  }
}
