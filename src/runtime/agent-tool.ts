import { AsyncLocalStorage } from 'node:async_hooks'
import { z } from 'zod'
import type { Recovery } from '../actors/doubt.ts'
import { type Tool, type ToolContext, tool } from '../actors/tool.ts'
import { parseArguments } from '../actors/tool-arguments.ts'
import { type ToolResult, toFailure, toResult } from '../actors/tool-result.ts'
import { isPerdureError } from '../errors.ts'
import type { Agent } from './agent.ts'
import { findScope } from './call-scope.ts'
import type { ChildTurn } from './child-agent.ts'
import { subtractSpend, toChildSpent } from './spend.ts'

/** How an agent is offered to another. */
export interface AgentToolOptions {
  /** Default: the name of its profile, with `_` for what the name of a tool cannot have. */
  readonly name?: string | undefined
  /** Tells the model what the agent is good for, and when to ask it. */
  readonly description: string
  /** A zod schema of an object: what the agent is handed. Its prompt is then the JSON of that. Default: `{ prompt }`, its prompt as it is. */
  readonly input?: z.ZodType | undefined
}

/** Agents within agents, at most. */
const MAX_DEPTH = 16
const maxResultBytes = 256 * 1024

const Prompt = z.strictObject({
  prompt: z.string().min(1).describe('What it is to do, with all that it needs to know: it knows nothing else.'),
})

/**
 * An agent as a tool of another: each call is one turn of a conversation of its own. In a durable run that conversation is a run too, `<run>/<agent>.<call>`: a crash
 * takes it up where it was, and one that has finished is not run again. What it costs counts as the parent's; its limits are the lesser of its own and what is left of
 * those of the parent, as of the beginning of the call.
 */
export function toAgentTool(agent: Agent<unknown>, options: AgentToolOptions): Tool {
  const { name = agent.profile.name.replaceAll('.', '_'), description, input = Prompt } = options
  const base = tool({ name, description, input, effect: 'idempotent', run: () => undefined })

  const ask = async (prompt: string, context: ToolContext): Promise<ToolResult> => {
    const scope = findScope(context.key)
    const depth = scope === undefined ? (plainDepth.getStore() ?? 0) : await scope.agents.depthOf(scope.runId)
    if (depth >= MAX_DEPTH)
      return toFailure(`\`${name}\` was not asked: agents within agents, no more than ${MAX_DEPTH} deep.`, maxResultBytes)
    const { signal, remaining } = context
    const { outcome, spend, paid } =
      scope === undefined
        ? await plainDepth.run(depth + 1, () => askPlain(agent, prompt, context))
        : await scope.agents.ask({ agent, prompt, runId: scope.runId, step: scope.step, remaining, signal })
    scope?.onReused(subtractSpend(spend, paid))
    const result =
      'output' in outcome
        ? toResult(name, outcome.output, maxResultBytes)
        : toFailure({ name, error: outcome.error }, maxResultBytes)
    return { ...result, spent: toChildSpent(spend) }
  }
  const call = async (argumentsText: string, context: ToolContext): Promise<ToolResult> => {
    const parsed = await parseArguments(name, input, argumentsText)
    if (!parsed.ok) return toFailure(parsed.message, maxResultBytes)
    const prompt = input === Prompt ? Prompt.parse(parsed.input).prompt : JSON.stringify(parsed.input)
    try {
      return await ask(prompt, context)
    } catch (error) {
      if (!isPerdureError(error, 'RUN_ID_INVALID')) throw error
      return toFailure(`\`${name}\` was not asked: the name of its run would be too long.`, maxResultBytes)
    }
  }
  return {
    ...base,
    execute: call,
    // It is durable by itself: what is in doubt is taken up, not done again.
    recover: async (argumentsText, context): Promise<Recovery<ToolResult>> => ({
      status: 'settled',
      value: await call(argumentsText, context),
    }),
  }
}

/** How many agents work for one another here, without a runtime. */
const plainDepth = new AsyncLocalStorage<number>()

async function askPlain(agent: Agent<unknown>, prompt: string, { signal, remaining }: ToolContext): Promise<ChildTurn> {
  const { createPlainConversation } = await import('./plain-conversation.ts')
  const conversation = createPlainConversation(agent.machine, agent.profile, remaining)
  try {
    const { output, spend } = await conversation.run(prompt, { signal })
    return { outcome: { output }, spend, paid: spend }
  } catch (error) {
    if (signal.aborted) throw error
    const { spend } = conversation
    return { outcome: { error }, spend, paid: spend }
  }
}
