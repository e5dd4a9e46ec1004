import type { ApprovedCall, ToolInput, ToolLogic } from '../machines/agent.ts'
import type { ToolCall, ToolMessage } from '../machines/conversation.ts'
import type { Recovery } from './doubt.ts'
import type { Question } from './question.ts'
import { toRetryDelay } from './retry.ts'
import { type StepPolicy, toStepLogic } from './step.ts'
import type { Tool, ToolContext } from './tool.ts'
import { toCallData, toHandMessage, toToolMessage } from './tool-message.ts'
import { markThrown, type ToolResult, wasThrown } from './tool-result.ts'

/**
 * Actor logic that executes one tool call: what the slot `tool` of the agent machine takes. A step; with an outside effect, unless the tool says that
 * it has none. A tool that does not exist is a result that tells the model which do.
 */
export function fromTools(tools: readonly Tool[]): ToolLogic {
  const byName = new Map(tools.map((tool) => [tool.name, tool]))
  return toStepLogic<ToolMessage, ToolInput>(
    ({ key, call, isAgain, remaining }) => {
      const tool = byName.get(call.name)
      const description = {
        key,
        kind: 'tool',
        name: call.name,
        effect: tool?.effect !== 'none',
        isAgain,
        data: toCallData(call),
        toAsked: () => call.arguments,
      }
      const question = tool?.toQuestion?.(call.arguments)
      return {
        ...description,
        policy: toPolicy(tool, call, remaining),
        question: question === undefined ? undefined : toMessageQuestion(question, call),
      }
    },
    async ({ call, remaining }, { signal, key, attempt, runId, directory, progress }) => {
      const tool = byName.get(call.name)
      if (tool === undefined) {
        const names = [...byName.keys()].join(', ') || 'none'
        return toToolMessage(call, { content: `There is no tool \`${call.name}\`. The tools are: ${names}.`, isError: true })
      }
      return toToolMessage(
        call,
        await tool.execute(call.arguments, toContext(call, { signal, key, attempt, runId, directory, progress, remaining })),
      )
    },
  )
}

const toContext = (call: ToolCall, { progress, ...context }: Omit<ToolContext, 'callId'>): ToolContext => ({
  ...context,
  callId: call.id,
  progress: (value) => progress({ type: 'progress', value }),
})

function toPolicy(tool: Tool | undefined, call: ApprovedCall, remaining: ToolInput['remaining']): StepPolicy<ToolMessage> {
  const toSettled = (result: ToolResult): ToolMessage => toToolMessage(call, result)
  const recover = tool?.recover
  return {
    doubt: {
      onDoubt: tool?.onDoubt ?? (tool?.effect === undefined || tool.effect === 'external' ? 'report' : 'retry'),
      recover:
        recover === undefined
          ? undefined
          : async ({ noted: _, note: __, ...context }) =>
              mapRecovery(await recover(call.arguments, toContext(call, { ...context, remaining })), toSettled),
      report: (detail) => ({ status: 'ok', value: toToolMessage(call, toDoubtResult(call.name, detail)) }),
      toValue: (result) => toHandMessage(call, { result }),
    },
    timeoutMs: tool?.timeoutMs,
    retry: tool?.retry === undefined ? undefined : toRetryDelay(tool.retry),
    isFailure: wasThrown,
    onTimeout: (timeoutMs) => ({
      status: 'ok',
      value: toSettled(
        markThrown({
          content: `Tool \`${call.name}\` did not end within ${timeoutMs} ms and was ended. It may have had an effect.`,
          isError: true,
        }),
      ),
    }),
  }
}

function mapRecovery<A, B>(recovery: Recovery<A>, map: (value: A) => B): Recovery<B> {
  if (recovery.status !== 'settled') return recovery
  return 'value' in recovery ? { status: 'settled', value: map(recovery.value) } : recovery
}

/** What the model is told of a call whose outcome nobody knows. */
const toDoubtResult = (name: string, detail: string | undefined): ToolResult => ({
  content:
    `The process was ended while tool \`${name}\` ran, and the outcome is not known: it may have happened completely, in part, or not at all. ` +
    `Find out before you call it again.${detail === undefined ? '' : `\n${detail}`}`,
  isError: true,
})

const toMessageQuestion = (question: Question<ToolResult>, call: ApprovedCall): Question<ToolMessage> => ({
  ...question,
  call: { name: call.name, arguments: call.arguments },
  async parse(answer) {
    const parsed = await question.parse(answer)
    return parsed.ok ? { ok: true, value: toToolMessage(call, parsed.value) } : parsed
  },
})
