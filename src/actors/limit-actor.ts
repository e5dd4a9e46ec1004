import { z } from 'zod'
import type { LimitDecision, LimitInput, LimitLogic } from '../machines/agent.ts'
import { toLimitText } from '../machines/limits.ts'
import { toQuestionLogic } from './question-actor.ts'

const amount = z.number().positive().optional()

const Answer = z.union([
  z.strictObject({ stop: z.literal(true) }),
  z.strictObject({
    extend: z.strictObject({ steps: z.int().positive().optional(), tokens: amount, costUsd: amount, wallTimeMs: amount }),
  }),
])

const positive = { type: 'number', exclusiveMinimum: 0 }
const answerSchema = {
  anyOf: [
    { type: 'object', properties: { stop: { const: true } }, required: ['stop'], additionalProperties: false },
    {
      type: 'object',
      properties: {
        extend: {
          type: 'object',
          properties: { steps: { type: 'integer', minimum: 1 }, tokens: positive, costUsd: positive, wallTimeMs: positive },
          additionalProperties: false,
        },
      },
      required: ['extend'],
      additionalProperties: false,
    },
  ],
}

/** Actor logic that waits until a person has said what happens at a limit: what the slot `limit` of the agent machine takes. */
export const fromLimits = (): LimitLogic =>
  toQuestionLogic<LimitDecision, LimitInput>(({ key, reached }) => ({
    key,
    name: reached.limit,
    question: {
      kind: 'limit',
      text: `The turn came to ${toLimitText(reached)}. May it go on?`,
      schema: answerSchema,
      parse(answer) {
        const parsed = Answer.safeParse(answer)
        if (!parsed.success)
          return { ok: false, message: 'Expected `{ stop: true }` or `{ extend: { steps?, tokens?, costUsd?, wallTimeMs? } }`' }
        if ('stop' in parsed.data) return { ok: true, value: { stop: true } }
        if (parsed.data.extend[reached.limit] === undefined)
          return { ok: false, message: `Expected \`extend.${reached.limit}\`: that is the limit that was reached` }
        return { ok: true, value: { extend: parsed.data.extend } }
      },
    },
  }))
