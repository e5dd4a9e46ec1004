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
  settle(runId: string, key: string, status: 'ok' | 'error'): void
  /** The run came to its end. */
  end(runId: string): void
}

/** Nobody listens. */
export const createStreams = (): StreamHooks => ({
  begin() {},
  text() {},
  arguments() {},
  progress() {},
  discard() {},
  settle() {},
  end() {},
})
