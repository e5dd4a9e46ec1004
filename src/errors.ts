/** Every failure that Perdure names. Codes are the contract; messages are not. `docs/errors.md` has a heading for each. */
export type PerdureErrorCode =
  | 'PROFILE_INVALID'
  | 'TOOL_UNKNOWN'
  | 'TOOL_DUPLICATE'
  | 'MODEL_NOT_CONFIGURED'
  | 'MODEL_UNAUTHORIZED'
  | 'MODEL_NOT_FOUND'
  | 'MODEL_QUOTA'
  | 'MODEL_CONTEXT_TOO_LONG'
  | 'MODEL_BAD_REQUEST'
  | 'MODEL_UNAVAILABLE'
  | 'MODEL_BAD_ANSWER'
  | 'MODEL_CUT_OFF'
  | 'MODEL_REFUSED'
  | 'CALL_FAILED'
  | 'MAX_STEPS'
  | 'ABORTED'
  | 'STORE_PATH_INVALID'
  | 'ENCRYPTION_KEY_REQUIRED'
  | 'ENCRYPTION_KEY_WRONG'
  | 'STORE_NOT_ENCRYPTED'
  | 'STORE_NOT_WRITABLE'
  | 'STORE_LOCKED'
  | 'STORE_FORMAT_NEWER'
  | 'STORE_CORRUPT'
  | 'STORE_FULL'
  | 'STORE_WRITE_FAILED'
  | 'STORE_CLOSED'
  | 'STORE_FENCED'
  | 'OWNER_GONE'
  | 'EXPORT_INVALID'
  | 'RUN_CORRUPT'
  | 'RUN_ID_INVALID'
  | 'RUN_CONFLICT'
  | 'RUN_NOT_FOUND'
  | 'RUN_ENDED'
  | 'RUN_CANCELLED'
  | 'RUN_INCOMPATIBLE'
  | 'FORK_IMPOSSIBLE'
  | 'MACHINE_UNKNOWN'
  | 'MACHINE_DUPLICATE'
  | 'MIGRATION_FAILED'
  | 'WAIT_TIMEOUT'
  | 'STEP_IN_DOUBT'
  | 'STEP_UNKNOWN'
  | 'STEP_SETTLED'
  | 'NOBODY_TO_ASK'
  | 'ANSWER_INVALID'
  | 'LIMIT_REACHED'
  | 'PRICE_UNKNOWN'
  | 'OUTPUT_INVALID'
  | 'TURN_NOT_RUNNING'
  | 'FLOW_DUPLICATE'
  | 'FLOW_ENDED'
  | 'STEP_NESTED'
  | 'VALUE_NOT_STORABLE'
  | 'REDACTION_FAILED'
  | 'CRASH_FOUND'
  | 'REPLAY_DIVERGED'
  | 'REPLAY_UNSUPPORTED'

const marker = Symbol.for('perdure.error')

/** What an error carries besides its code and message. Only storable, secret-free values belong into `details`. */
export interface PerdureErrorOptions {
  readonly cause?: unknown
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * The one error class of Perdure. Compare `code`, never the message.
 *
 * The message says what happened, to which run or record, and what to do next. `details` holds the same facts as data.
 */
export class PerdureError extends Error {
  override readonly name = 'PerdureError'
  readonly code: PerdureErrorCode
  readonly details: Readonly<Record<string, unknown>>
  readonly [marker] = true

  constructor(code: PerdureErrorCode, message: string, options: PerdureErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
  }

  /** The error as plain data, as it is journaled and logged. */
  toJSON(): { name: string; code: PerdureErrorCode; message: string; details: Readonly<Record<string, unknown>> } {
    return { name: this.name, code: this.code, message: this.message, details: this.details }
  }
}

/** Tells a {@link PerdureError} from any other value, also across copies of this package. With `code`, tells one kind of it. */
export function isPerdureError(value: unknown, code?: PerdureErrorCode): value is PerdureError {
  return (
    typeof value === 'object' &&
    value !== null &&
    marker in value &&
    (code === undefined || (value as PerdureError).code === code)
  )
}

/** A short text for any thrown value, for messages. */
export function toMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
