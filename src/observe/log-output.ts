/** Where lines go: `process.stderr`, or anything that is written to like it. */
export interface LogStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
  /** How much was written to it, by anyone. */
  readonly bytesWritten?: number | undefined
  on?(event: 'error', listener: (error: Error) => void): unknown
}

/** Writes to a stream and survives it. */
export interface LogOutput {
  readonly stream: LogStream
  /** The width of the terminal; `undefined` when there is none, or it is too narrow to lay lines out. */
  readonly columns: number | undefined
  write(text: string): void
  /** How much others have written to the stream. */
  foreignBytes(): number
}

const MIN_COLUMNS = 40

const closed = new WeakSet<LogStream>()
const watched = new WeakSet<LogStream>()

const isGone = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && /^(EPIPE|EBADF|ECONNRESET|ERR_STREAM_.*)$/.test(String(error.code))

/**
 * Writes what can be written. A reader that has gone away (`| head`) must not end the agents whose log it read: once the stream is
 * closed, nothing is written any more, and an error of the stream is heard but not thrown.
 */
export function createLogOutput(stream: LogStream): LogOutput {
  let own = 0
  const onError = (error: unknown): void => {
    if (isGone(error)) closed.add(stream)
  }
  return {
    stream,
    get columns() {
      const { columns = 0, isTTY } = stream
      return isTTY === true && columns >= MIN_COLUMNS ? columns : undefined
    },
    write(text) {
      if (closed.has(stream)) return
      if (!watched.has(stream)) {
        watched.add(stream) // for good: the error of a last write arrives after it
        stream.on?.('error', onError)
      }
      const before = stream.bytesWritten ?? 0
      try {
        stream.write(text)
      } catch (error) {
        onError(error)
      }
      own += (stream.bytesWritten ?? 0) - before
    },
    foreignBytes: () => (stream.bytesWritten ?? 0) - own,
  }
}
