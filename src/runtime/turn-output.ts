import type { z } from 'zod'
import { parseOutput } from '../actors/output-text.ts'
import type { ParsedProfile } from '../actors/profile.ts'
import { PerdureError } from '../errors.ts'
import type { AnyTurnOptions, TurnFunction, TurnResult } from './turn.ts'

/** The form of the answer: that of the turn, else that of the profile. */
export const toOutput = (profile: ParsedProfile, { output }: AnyTurnOptions): z.ZodType | undefined => output ?? profile.output

/**
 * What is recorded of a turn is the text of its answer: this reads it, each time that the turn is returned. Errors: `OUTPUT_INVALID` when it does
 * not fit, which only happens with a schema that is not what it was when the answer was checked.
 */
export async function readTurn(
  profile: ParsedProfile,
  options: AnyTurnOptions,
  turn: Promise<TurnResult>,
): Promise<TurnResult<unknown>> {
  const result = await turn
  const output = toOutput(profile, options)
  if (output === undefined) return result
  const parsed = await parseOutput(output, result.output)
  if (parsed.ok) return { ...result, output: parsed.value }
  throw new PerdureError(
    'OUTPUT_INVALID',
    `The answer of turn \`${result.checkpoint}\` had been accepted and no longer fits: the schema checks something else than it did.\n${parsed.issues}`,
    { details: { turn: result.turn, issues: parsed.issues } },
  )
}

/** `run` with the types that its options and the profile give the answer. */
export const toTurnFunction = <Output, Options extends AnyTurnOptions>(
  run: (prompt: string, options?: Omit<Options, 'output'> & Pick<AnyTurnOptions, 'output'>) => Promise<TurnResult<unknown>>,
): TurnFunction<Output, Options> => run as TurnFunction<Output, Options> // the answer was parsed with the schema that its type is of
