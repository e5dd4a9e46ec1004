import type { RuntimeEvent } from '../runtime/events.ts'
import { createCrowd } from './crowd.ts'
import { toCutLines, toEventLines } from './event-lines.ts'
import { toJsonLine } from './json-line.ts'
import { advance, type LedgerState } from './ledger-state.ts'
import { isLogFormat, type LogFormat } from './log-format.ts'
import { createLayout } from './log-line.ts'
import { createLogOutput, type LogStream } from './log-output.ts'
import { createProgressLine } from './progress-line.ts'
import { createTheme, type Environment, hasUnicode, wantsColor } from './theme.ts'

/** How a {@link createReporter reporter} prints. */
export interface ReporterOptions {
  readonly format: LogFormat
  /** Default: `process.stderr`, so that what the program itself prints stays apart. */
  readonly stream?: LogStream | undefined
  /** Default: when `stream` is a terminal; `FORCE_COLOR` and `NO_COLOR` are honoured. */
  readonly color?: boolean | undefined
  /** `json`: whether the model's text is printed as it arrives, a line for each piece. Default: false. */
  readonly text?: boolean | undefined
  /** The time in epoch milliseconds, for the seconds of a call in flight. Default: `Date.now`. */
  readonly now?: (() => number) | undefined
  /** Where `FORCE_COLOR`, `NO_COLOR` and `TERM` are looked up. Default: `process.env`. */
  readonly env?: Environment | undefined
}

/** Prints each event it is called with. Never throws because of its stream. */
export interface Reporter extends Disposable {
  (event: RuntimeEvent): void
  /** Takes the progress line away, stops its timer and says what was left unfinished. Safe to call twice. */
  close(): void
}

/** Checks a format that is called `name` where it came from. Errors: `TypeError`. */
function assertLogFormat(name: string, value: unknown): asserts value is LogFormat {
  if (!isLogFormat(value))
    throw new TypeError(`Expected \`${name}\` to be 'pretty', 'json' or 'silent', got \`${String(value)}\` (${typeof value})`)
}

/**
 * Makes a listener that prints what happens. `pretty`: a line when a checkpoint starts, finishes, fails or comes from the store,
 * with calls, tokens, cost and time, and a receipt at the end of a run; on a terminal also a line about the call in flight. Of runs of
 * machines a line for each when they start, end, or cannot go on; when more than ten in a second have the same to say, how many more.
 * `json`: a line of JSON for each event. `silent`: nothing.
 *
 * What models, tools, prompts and errors wrote is made safe for the terminal. Of an error, name, code and message are printed (P11).
 * Errors: `TypeError` for an unknown format.
 *
 * @example
 * ```ts
 * await using runtime = await openRuntime({ directory: '.perdure', log: 'silent' })
 * runtime.subscribe(createReporter({ format: 'json', stream: process.stdout }))
 * ```
 */
export function createReporter(options: ReporterOptions): Reporter {
  assertLogFormat('format', options.format)
  if (options.format === 'silent')
    return toReporter(
      () => {},
      () => {},
    )
  if (options.format === 'json') return createJsonReporter(options)
  return createPrettyReporter(options)
}

function toReporter(listener: (event: RuntimeEvent) => void, close: () => void): Reporter {
  return Object.assign((event: RuntimeEvent) => listener(event), { close, [Symbol.dispose]: close })
}

function createJsonReporter({ stream = process.stderr, text = false }: ReporterOptions): Reporter {
  const output = createLogOutput(stream)
  return toReporter(
    (event) => {
      if (text || event.type !== 'text.received') output.write(`${toJsonLine(event)}\n`)
    },
    () => {},
  )
}

function createPrettyReporter(options: ReporterOptions): Reporter {
  const { stream = process.stderr, now = Date.now, env = process.env } = options
  const isTTY = stream.isTTY === true
  const theme = createTheme({ color: options.color ?? wantsColor(isTTY, env), unicode: hasUnicode(env, process.platform) })
  const output = createLogOutput(stream)
  const layout = createLayout(theme)
  const isShared = stream === process.stderr && process.stdout.isTTY
  const foreignBytes = (): number => output.foreignBytes() + (isShared ? process.stdout.bytesWritten : 0)
  const isAnimated = isTTY && env.TERM !== 'dumb'
  const progress = isAnimated ? createProgressLine({ output, theme, now, lead: layout.lead, foreignBytes }) : undefined
  // What has ended was printed: nothing of it is remembered.
  let state: LedgerState = { runs: new Map(), machineCalls: [], maxFinishedRuns: 0 }
  let closed = false

  const print = (lines: ReturnType<typeof toEventLines>): void => {
    if (lines.length === 0) return
    progress?.makeRoom()
    output.write(lines.map((line) => layout.render(line, output.columns)).join(''))
    progress?.printed()
  }

  const crowd = createCrowd(print)

  return toReporter(
    (event) => {
      if (closed || (event.type === 'text.received' && progress === undefined)) return
      const lines = toEventLines(state, event)
      state = advance(state, event)
      if (crowd.admit(event, lines)) print(lines)
      if (event.type === 'text.received') progress?.hear(event)
      progress?.follow(state)
    },
    () => {
      if (closed) return
      closed = true
      progress?.close()
      crowd.flush()
      print([...state.runs.values()].flatMap((run) => toCutLines(state, run)))
    },
  )
}
