import type { ToolInput, ToolLogic } from '../machines/agent.ts'
import type { ToolMessage } from '../machines/conversation.ts'
import { toStepLogic } from './step.ts'
import type { Tool } from './tool.ts'

/**
 * Actor logic that executes one tool call: what the slot `tool` of the agent machine takes. A step with an outside effect. A tool
 * that does not exist is a result that tells the model which do.
 */
export function fromTools(tools: readonly Tool[]): ToolLogic {
  const byName = new Map(tools.map((tool) => [tool.name, tool]))
  return toStepLogic<ToolMessage, ToolInput>(
    ({ key, call }) => ({
      key,
      kind: 'tool',
      name: call.name,
      effect: true,
      data: { callId: call.id, arguments: call.arguments },
    }),
    async ({ call }, { signal, key, attempt }) => {
      const tool = byName.get(call.name)
      const result =
        tool === undefined
          ? {
              content: `There is no tool \`${call.name}\`. The tools are: ${[...byName.keys()].join(', ') || 'none'}.`,
              isError: true,
            }
          : await tool.execute(call.arguments, { signal, key, attempt, callId: call.id })
      return { role: 'tool', callId: call.id, name: call.name, ...result }
    },
  )
}
