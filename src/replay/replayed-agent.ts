import { createActor, toPromise } from 'xstate'
import { retryInDoubt } from '../actors/doubt.ts'
import type { ModelRequest } from '../actors/model.ts'
import { toStepLogic } from '../actors/step.ts'
import type { Tool } from '../actors/tool.ts'
import { fromTools } from '../actors/tool-actor.ts'
import type { ToolResult } from '../actors/tool-result.ts'
import type { ModelInput, ModelLogic } from '../machines/agent.ts'
import type { ModelAnswer, ToolMessage } from '../machines/conversation.ts'
import type { Agent } from '../runtime/agent.ts'
import { toRequest } from '../runtime/agent-request.ts'
import { toFingerprint } from '../runtime/fingerprint.ts'
import type { Answers } from './answers.ts'

/**
 * The agent with a model and tools that answer from a recording. Its profile, the form of its answers, its approvals, its limits and the descriptions of its tools are
 * its own.
 */
export function toReplayedAgent<Output>(agent: Agent<Output>, answers: Answers): Agent<Output> {
  const { profile } = agent
  const request = toRequest(profile, agent.tools)
  const tools = agent.tools.map((tool) => toReplayedTool(tool, answers))
  const live = agent.machine.implementations.actors.model as ModelLogic // `buildAgent` filled the slot

  const model = toStepLogic<ModelAnswer, ModelInput>(
    ({ key, isAgain, messages }) => ({
      key,
      kind: 'model',
      name: profile.model,
      effect: false,
      isAgain,
      data: { messages: messages.length },
      policy: { doubt: retryInDoubt<ModelAnswer>() },
    }),
    (input, { key, runId, signal }) =>
      answers.model({
        runId,
        key: key.slice(runId.length + 1),
        messages: input.messages,
        signal,
        toFingerprint: (start) => toTurnFingerprint(request, input, start),
        askLive: () => askLive(live, input, signal),
      }),
  )
  return {
    ...agent,
    tools,
    machine: agent.machine.provide({ actors: { model, tool: fromTools(tools) } }),
  }
}

function toTurnFingerprint(
  request: Omit<ModelRequest, 'messages'>,
  { messages, output }: ModelInput,
  start: number,
): ReturnType<typeof toFingerprint> {
  const { model, systemPrompt, settings, tools } = request
  const prompt = messages[start]?.content ?? ''
  return toFingerprint({ prompt, systemPrompt, model, settings, tools, ...(output === undefined ? {} : { output }) })
}

/** Asks the agent's own model. */
async function askLive(logic: ModelLogic, input: ModelInput, signal: AbortSignal): Promise<ModelAnswer> {
  signal.throwIfAborted()
  const actor = createActor(logic, { input })
  const stop = (): void => void actor.stop()
  signal.addEventListener('abort', stop, { once: true })
  try {
    return await toPromise(actor.start())
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** Without an effect of its own; it waits for nothing, and is not tried again: its recorded result is the last one. */
function toReplayedTool(tool: Tool, answers: Answers): Tool {
  const { retry: _, timeoutMs: __, recover: ___, ...rest } = tool
  return {
    ...rest,
    effect: 'none',
    onDoubt: 'retry',
    async execute(text, context) {
      const { runId, key, callId, signal } = context
      const message = await answers.tool({
        runId,
        key: key.slice(runId.length + 1),
        callId,
        name: tool.name,
        arguments: text,
        signal,
      })
      signal.throwIfAborted() // the replay was ended for want of it
      return message === undefined ? tool.execute(text, context) : toResult(message, text)
    },
  }
}

/** The result within a message. The machine tells the model of edited arguments itself. */
function toResult({ content, isError, spent }: ToolMessage, text: string): ToolResult {
  const edited = `(A person changed the arguments to ${text}.)\n`
  const own = content.startsWith(edited) ? content.slice(edited.length) : content
  return { content: own, isError, ...(spent === undefined ? {} : { spent }) }
}
