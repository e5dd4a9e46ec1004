import { toFirstLine, toSafeText } from './safe-text.ts'

/** What is shown of an error. Stack, cause, details and foreign properties may hold secrets (P11): they stay out. */
export interface ErrorSummary {
  readonly name: string
  /** The code of a `PerdureError`, or that of a system error. */
  readonly code?: string
  readonly message: string
}

const MAX_MESSAGE = 2_000

function read(error: unknown, key: string): string | undefined {
  try {
    const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, key) : undefined
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined // a getter that throws has nothing to say
  }
}

/** What is shown of a thrown value: name, code and message. */
export function toErrorSummary(error: unknown): ErrorSummary {
  const code = read(error, 'code')
  const message = typeof error === 'object' && error !== null ? (read(error, 'message') ?? 'A thrown object') : String(error)
  return {
    name: (read(error, 'name') ?? 'Error').slice(0, 100),
    ...(code === undefined ? {} : { code: code.slice(0, 100) }),
    message: message.slice(0, MAX_MESSAGE),
  }
}

/** The code, or the name where it says something. */
export function toErrorLabel({ name, code }: ErrorSummary): string {
  return toSafeText(code ?? name)
}

/** The error in one safe line: `MODEL_QUOTA: first line of the message`. */
export function toErrorText(summary: ErrorSummary): string {
  const label = toErrorLabel(summary)
  const line = toFirstLine(summary.message)
  if (line === '') return label
  return label === 'Error' || label === '' ? line : `${label}: ${line}`
}

/** The run was ended from outside: what it had settled is kept, and nothing is wrong with it. */
export const isInterruption = ({ code }: ErrorSummary): boolean => code === 'ABORTED' || code === 'STORE_CLOSED'
