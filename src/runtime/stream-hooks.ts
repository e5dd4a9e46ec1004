import { randomUUID } from 'node:crypto'
import { createRunningCall, type RunningCall } from './stream-call.ts'

/** What the step host tells of the calls of a run while they run, for those who listen to its stream. */
export interface StreamHooks {
  /** An attempt at a call begins. What was given of an earlier attempt is void. */
  begin(call: {
    readonly runId: string
    readonly key: string
    readonly kind: string
    readonly name: string
    readonly attempt: number
  }): void
  text(runId: string, key: string, delta: string): void
  arguments(runId: string, key: string, piece: { readonly callId: string; readonly name: string; readonly delta: string }): void
  progress(runId: string, key: string, value: unknown): void
  /** The attempt starts over: what was given of it is void. */
  discard(runId: string, key: string): void
  /** `value`: what a call that is `ok` came to; of a model that does not tell its answer piece by piece, it is all that there is to give. */
  settle(runId: string, key: string, status: 'ok' | 'error', value?: unknown): void
  /** Nobody executes the call any more in this process, whether or not it has settled. */
  leave(runId: string, key: string): void
  /** The run came to its end, and that is on disk. */
  end(runId: string): void
  /** Hears of the calls of a run and of those within it (`<run>/…`) from now on. */
  attend(runId: string, listener: StreamListener): () => void
  /** The calls in flight of a run and of those within it, in the order in which they began. */
  callsOf(runId: string): readonly RunningCall[]
  /** Tells these hooks from those of another process. */
  readonly source: string
  /** A number that is above all before. */
  nextEpoch(): number
}

interface StreamListener {
  readonly onChange: (call: RunningCall) => void
  readonly onEnd: () => void
}

/** Keeps what is in flight, and nothing else: what has settled is kept by those who have not given it yet. */
export function createStreams(): StreamHooks {
  const running = new Map<string, Map<string, RunningCall>>()
  const listeners = new Map<string, Set<StreamListener>>()
  let epoch = 0
  const nextEpoch = (): number => ++epoch

  const tellChange = (call: RunningCall): void => {
    if (listeners.size === 0) return
    for (const run of withOuter(call.runId)) for (const { onChange } of listeners.get(run) ?? []) onChange(call)
  }
  const change = (runId: string, key: string, apply: (call: RunningCall) => void): void => {
    const call = running.get(runId)?.get(key)
    if (call === undefined) return
    apply(call)
    tellChange(call)
  }
  const leave = (runId: string, key: string): void => {
    const calls = running.get(runId)
    if (calls?.delete(key) === true && calls.size === 0) running.delete(runId)
  }

  return {
    begin({ attempt, ...names }) {
      const { runId, key } = names
      const calls = running.get(runId) ?? new Map<string, RunningCall>()
      running.set(runId, calls)
      const call = calls.get(key) ?? createRunningCall(names, nextEpoch)
      calls.set(key, call)
      call.begin(attempt)
      tellChange(call)
    },
    text: (runId, key, delta) => change(runId, key, (call) => call.addText(delta)),
    arguments: (runId, key, piece) => change(runId, key, (call) => call.addArguments(piece)),
    progress: (runId, key, value) => change(runId, key, (call) => call.addProgress(value)),
    discard: (runId, key) => change(runId, key, (call) => call.restart()),
    settle(runId, key, status, value) {
      change(runId, key, (call) => call.settle(status, value))
      leave(runId, key)
    },
    leave,
    end(runId) {
      running.delete(runId)
      for (const [run, set] of listeners) if (isWithin(run, runId)) for (const { onEnd } of set) onEnd()
    },
    attend(runId, listener) {
      const set = listeners.get(runId) ?? new Set()
      listeners.set(runId, set)
      set.add(listener)
      return () => {
        if (set.delete(listener) && set.size === 0 && listeners.get(runId) === set) listeners.delete(runId)
      }
    },
    callsOf(runId) {
      const calls: RunningCall[] = []
      for (const [run, ofRun] of running) if (isWithin(run, runId)) calls.push(...ofRun.values())
      return calls.sort((one, other) => one.epoch - other.epoch)
    },
    source: randomUUID().slice(0, 8),
    nextEpoch,
  }
}

const isWithin = (run: string, outer: string): boolean => run === outer || run.startsWith(`${outer}/`)

/** A run and those that it may be within. */
function* withOuter(run: string): Iterable<string> {
  yield run
  for (let end = run.lastIndexOf('/'); end > 0; end = run.lastIndexOf('/', end - 1)) yield run.slice(0, end)
}
