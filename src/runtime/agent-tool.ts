import { z } from 'zod'
import type { Recovery } from '../actors/doubt.ts'
import { type Tool, type ToolContext, tool } from '../actors/tool.ts'
import { readArguments } from '../actors/tool-arguments.ts'
import { type ToolResult, toFailure } from '../actors/tool-result.ts'
import type { ChildSpent } from '../machines/conversation.ts'
import type { Agent } from './agent.ts'
import { type CallScope, callScope } from './call-scope.ts'
import { createPlainConversation } from './plain-conversation.ts'
import type { Spend } from './spend.ts'

/** How an agent is offered to another. */
export interface AgentToolOptions {
  /** Default: the name of its profile. */
  readonly name?: string | undefined
  /** Tells the model what the agent is good for. */
  readonly description: string
}

/** Agents within agents, at most. */
const MAX_DEPTH = 16
const maxResultBytes = 256 * 1024

/** What a child agent came to. */
export interface ChildTurn {
  readonly outcome: { readonly output: string } | { readonly error: unknown }
  readonly spend: Spend
}

/**
 * An agent as a tool of another: each call is one turn of a conversation of its own. In a durable run that conversation is a run too, `<run>/<agent>.<call>`: a crash
 * takes it up where it was, and one that has finished is not run again. What it costs counts as the parent's; its limits are the lesser of its own and what is left of
 * those of the parent.
 */
export function toAgentTool(agent: Agent<unknown>, options: AgentToolOptions): Tool {
  const input = z.strictObject({
    prompt: z.string().min(1).describe('What it is to do, with all that it needs to know: it knows nothing else.'),
  })
  const name = options.name ?? agent.profile.name
  const base = tool({ name, description: options.description, input, effect: 'idempotent', run: () => undefined })

  const call = async (prompt: string, context: ToolContext): Promise<ToolResult> => {
    const scope = callScope.getStore()
    if (scope !== undefined && depthOf(scope) > MAX_DEPTH)
      return toFailure(`Agents within agents: more than ${MAX_DEPTH} deep. \`${name}\` was not asked.`, maxResultBytes)
    const { outcome, spend } = await (scope === undefined
      ? askPlain(agent, prompt, context)
      : (await import('./child-agent.ts')).askChild(agent, scope, prompt, context))
    const result: ToolResult =
      'output' in outcome
        ? { content: outcome.output, isError: false }
        : toFailure({ name, error: outcome.error }, maxResultBytes)
    return { ...result, spent: toSpent(spend) }
  }
  return {
    ...base,
    async execute(argumentsText, context) {
      const parsed = readArguments(input, argumentsText)
      if (typeof parsed === 'string') return base.execute(argumentsText, context) // tells the model what is wrong
      return call(parsed.input.prompt, context)
    },
    // It is durable by itself: what is in doubt is taken up, not done again.
    async recover(argumentsText, context): Promise<Recovery<ToolResult>> {
      const parsed = readArguments(input, argumentsText)
      if (typeof parsed === 'string') return { status: 'notStarted' }
      return { status: 'settled', value: await call(parsed.input.prompt, context) }
    },
  }
}

const depthOf = ({ services }: CallScope): number => services.within.getStore()?.length ?? 0

async function askPlain(agent: Agent<unknown>, prompt: string, { signal, remaining }: ToolContext): Promise<ChildTurn> {
  const conversation = createPlainConversation(agent.machine, agent.profile, remaining)
  try {
    const { output, spend } = await conversation.run(prompt, { signal })
    return { outcome: { output }, spend }
  } catch (error) {
    if (signal.aborted) throw error
    return { outcome: { error }, spend: conversation.spend }
  }
}

const toSpent = ({ modelCalls, inputTokens, outputTokens, ...spend }: Spend): ChildSpent => ({
  steps: modelCalls,
  tokens: inputTokens + outputTokens,
  costUsd: spend.costUsd,
  unpricedCalls: spend.unpricedCalls,
  inputTokens,
  outputTokens,
  cachedInputTokens: spend.cachedInputTokens,
  reasoningTokens: spend.reasoningTokens,
  toolCalls: spend.toolCalls,
})
