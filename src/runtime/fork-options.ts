import { z } from 'zod'
import type { ModelSettings } from '../actors/model.ts'
import { ProfileChange } from '../actors/profile.ts'

/**
 * Where a conversation is forked. `{ turn: 3 }`: at the beginning of its third turn, which is executed again. `{ turn: 3, call: 'm2' }`: before the second model request of that
 * turn; `'m2/<call id>'`: before a tool call that the second answer asked for. What had settled before stays, and so does what the other tools of the same answer returned.
 * `{ after: 3 }`: behind the third turn; the fork waits for a prompt.
 */
export type ForkPoint = { readonly turn: number; readonly call?: string | undefined } | { readonly after: number }

/** How a fork differs from its origin. */
export interface ForkOptions {
  readonly at: ForkPoint
  /** The id of the new run: `<agent>/<session>`, so that it is the session of that name. Default: that of the origin with something random behind it. */
  readonly id?: string | undefined
  /** What is asked instead. At a turn. */
  readonly prompt?: string | undefined
  /** What a tool returned instead: a text, or anything as JSON. At the tool call, which is not executed. */
  readonly result?: unknown
  /** What the person answered instead: as `run.answer` takes it. At the tool call that was approved, or that asked. */
  readonly answer?: unknown
  /** Instead of what the profile says, in all turns of the fork. Settings that are not named stay as they are. */
  readonly systemPrompt?: string | undefined
  readonly model?: string | undefined
  readonly settings?: ModelSettings | undefined
}

const number = z.int().min(1)
const Options = z.strictObject({
  at: z.union([z.strictObject({ turn: number, call: z.string().min(1).optional() }), z.strictObject({ after: number })]),
  id: z.string().optional(),
  prompt: z.string().min(1).optional(),
  result: z.unknown().optional(),
  answer: z.unknown().optional(),
  ...ProfileChange.shape,
})

/** Errors: a `TypeError`. */
export function parseForkOptions(value: unknown): ForkOptions {
  const parsed = Options.safeParse(value)
  if (!parsed.success)
    throw new TypeError(
      `Expected the options of a fork to be such as \`{ at: { turn: 3 }, prompt: 'Try again' }\`: ${z.prettifyError(parsed.error)}`,
    )
  const { at, prompt, result, answer } = parsed.data
  const isAtCall = 'turn' in at && at.call !== undefined
  if (prompt !== undefined && (isAtCall || 'after' in at))
    throw new TypeError('Expected a fork with a `prompt` to be at a turn, such as `{ at: { turn: 3 } }`')
  if ((result !== undefined || answer !== undefined) && !isAtCall)
    throw new TypeError(
      "Expected a fork with a `result` or `answer` to be at a call, such as `{ at: { turn: 3, call: 'm1/call_1' } }`",
    )
  if (result !== undefined && answer !== undefined)
    throw new TypeError('Expected a fork to have a `result` or an `answer`, got both')
  return parsed.data
}
