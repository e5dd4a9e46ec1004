import { z } from 'zod'
import type { Approval, ApprovalLogic, ToolInput } from '../machines/agent.ts'
import type { ToolCall } from '../machines/conversation.ts'
import type { ParsedAnswer, Question } from './question.ts'
import { toQuestionLogic } from './question-actor.ts'
import type { Tool } from './tool.ts'

const Answer = z.union([
  z.boolean().transform((approved) => ({ approved, arguments: undefined, reason: undefined })),
  z.strictObject({
    approved: z.boolean(),
    arguments: z.record(z.string(), z.unknown()).optional(),
    reason: z.string().optional(),
  }),
])

const answerSchema = {
  anyOf: [
    { type: 'boolean' },
    {
      type: 'object',
      properties: { approved: { type: 'boolean' }, arguments: { type: 'object' }, reason: { type: 'string' } },
      required: ['approved'],
      additionalProperties: false,
    },
  ],
}

/**
 * Actor logic that waits until a person has approved, denied or changed a tool call: what the slot `approval` of the agent machine takes. The question is
 * bound to the exact arguments: its key holds their hash, so an answer to others is none to these.
 */
export function fromApprovals(tools: readonly Tool[]): ApprovalLogic {
  const byName = new Map(tools.map((tool) => [tool.name, tool]))
  return toQuestionLogic<Approval, ToolInput>(({ key, call, isAgain }, hash) => ({
    isAgain,
    key: `${key}/approval/${hash(call.arguments)}`,
    name: call.name,
    question: toQuestion(call, byName.get(call.name)),
  }))
}

function toQuestion(call: ToolInput['call'], tool: Tool | undefined): Question<Approval> {
  return {
    kind: 'approval',
    text: `May the tool \`${call.name}\` be called?`,
    schema: answerSchema,
    call: { name: call.name, arguments: call.arguments },
    async parse(answer): Promise<ParsedAnswer<Approval>> {
      const parsed = Answer.safeParse(answer)
      if (!parsed.success)
        return { ok: false, message: 'Expected true, false or `{ approved, arguments?, reason? }` with `arguments` as an object' }
      const { approved, arguments: changed, reason } = parsed.data
      if (!approved) return { ok: true, value: reason === undefined ? { approved } : { approved, reason } }
      if (changed === undefined) return { ok: true, value: { approved, arguments: call.arguments } }
      const text = JSON.stringify(changed)
      const issue = await tool?.check?.(text)
      return issue === undefined ? { ok: true, value: { approved, arguments: text } } : { ok: false, message: issue }
    },
  }
}

/** Whether a person has to approve a call first. */
export const needsApproval = (tools: readonly Tool[], call: ToolCall): boolean =>
  tools.find(({ name }) => name === call.name)?.needsApproval?.(call.arguments) ?? false
