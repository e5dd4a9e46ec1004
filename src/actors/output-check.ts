import { isDeepStrictEqual } from 'node:util'
import { type AnyActorRef, fromPromise } from 'xstate'
import { z } from 'zod'
import { PerdureError, toMessage } from '../errors.ts'
import type { CheckInput, CheckLogic, CheckOutcome, OutputFormat } from '../machines/agent.ts'
import { toOutputSchema } from './output-format.ts'
import { parseOutput } from './output-text.ts'

type AnyActorSystem = AnyActorRef['system']

const provided = new WeakMap<AnyActorSystem, z.ZodType>()

/**
 * Lets the agents of `system` check with `output`, refinements and all, what has to have its form. Of a form that nobody provided, as after a restart, the
 * machine only has the JSON Schema.
 */
export function provideOutput(system: AnyActorSystem, output: z.ZodType | undefined): void {
  if (output === undefined) provided.delete(system)
  else provided.set(system, output)
}

/**
 * Actor logic that checks the form of an answer: what the slot `check` of the agent machine takes. It is not recorded: nothing is lost when it is done again.
 *
 * @param own the form that the agent's answers have where the turn does not say: that of an empty schema name
 */
export const fromOutputCheck = (own: z.ZodType | undefined): CheckLogic =>
  fromPromise<CheckOutcome, CheckInput>(async ({ input: { output, text }, system }) => {
    const parsed = await parseOutput(toSchema(output, own, provided.get(system)), text)
    return parsed.ok ? undefined : parsed.issues
  })

function toSchema(format: OutputFormat, own: z.ZodType | undefined, ofTurn: z.ZodType | undefined): z.ZodType {
  if (format.name === '' && own !== undefined) return own
  for (const known of [ofTurn, own])
    if (known !== undefined && isDeepStrictEqual(toOutputSchema(known), format.schema)) return known
  try {
    return z.fromJSONSchema(format.schema)
  } catch (cause) {
    const message = `The answer could not be checked: its form \`${format.name}\` is not usable JSON Schema: ${toMessage(cause)}`
    throw new PerdureError('OUTPUT_INVALID', message, { cause })
  }
}
