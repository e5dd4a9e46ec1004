import { createMachine } from 'xstate'
import type { z } from 'zod'
import { fromApprovals, needsApproval } from '../actors/approval-actor.ts'
import { fromLimits } from '../actors/limit-actor.ts'
import type { Model } from '../actors/model.ts'
import { fromModel } from '../actors/model-actor.ts'
import { type OpenAIModelOptions, openaiModel } from '../actors/openai/model.ts'
import { fromOutputCheck } from '../actors/output-check.ts'
import { type ParsedProfile, type Profile, type ProfileChange, parseProfile } from '../actors/profile.ts'
import type { Tool } from '../actors/tool.ts'
import { fromTools } from '../actors/tool-actor.ts'
import { buildTools, type ToolboxOptions } from '../actors/toolbox.ts'
import { type AgentMachine, agentMachine, isUnchecked, type TurnLimits } from '../machines/agent.ts'
import { assertPrompt, toRequest, toTurnLimits } from './agent-request.ts'
import { type AgentToolOptions, toAgentTool } from './agent-tool.ts'
import type { PlainConversation } from './plain-conversation.ts'
import { createQueue } from './queue.ts'
import type { TurnFunction } from './turn.ts'
import { readTurn, toTurnFunction } from './turn-output.ts'

/** What an agent is built with. Without `model`, it asks an OpenAI-compatible service; the options of {@link openaiModel} say which. */
export interface AgentOptions extends ToolboxOptions, Omit<OpenAIModelOptions, 'sleep' | 'random' | 'now'> {
  readonly model?: Model | undefined
}

/**
 * A vanilla agent: a machine with its model and tools. Nothing of it survives the process; `runtime.durable(agent)` does. `Output` is what its answers are:
 * text, or what its profile's `output` says.
 */
export interface Agent<Output = string> {
  readonly profile: ParsedProfile
  /** The agent as an XState machine, its slots filled: for `createActor`, the inspector, or as a child of your own machine. */
  readonly machine: AgentMachine
  readonly tools: readonly Tool[]
  /**
   * Runs one turn and resolves with its answer. The conversation goes on from turn to turn; a second call waits for the first.
   * Errors: `MODEL_*`, `MAX_STEPS`, `OUTPUT_INVALID`, `ABORTED`.
   */
  readonly run: TurnFunction<Output>
  /**
   * The agent as a tool of another, which hands it a prompt and gets its answer. Each call is a conversation of its own; in a durable run it is one that belongs to that
   * run: its calls, limits, approvals and cost are the run's, and a crash takes it up where it was. Errors: a `TypeError` when the options are wrong.
   */
  asTool(options: AgentToolOptions): Tool
}

/**
 * Builds the agent that `profile` describes: a tool that it does not name is never constructed.
 *
 * Errors: `PROFILE_INVALID`, `TOOL_UNKNOWN`, `TOOL_DUPLICATE`. That no model service is configured (`MODEL_NOT_CONFIGURED`) is
 * found when the model is first asked: what the store can answer needs no key.
 *
 * @example
 * ```ts
 * const agent = buildAgent({ name: 'default', systemPrompt: 'Be brief.', model: 'gpt-5-mini', allowedTools: ['exec'] })
 * const { output } = await agent.run('How many lines has README.md?')
 * ```
 */
export function buildAgent<Schema extends z.ZodType>(
  profile: Profile<Schema> & { readonly output: Schema },
  options?: AgentOptions,
): Agent<z.output<Schema>>
export function buildAgent(profile: Profile, options?: AgentOptions): Agent
export function buildAgent(profile: Profile<z.ZodType | undefined>, options?: AgentOptions): Agent<unknown>
export function buildAgent(profile: Profile<z.ZodType | undefined>, options: AgentOptions = {}): Agent<unknown> {
  const parsed = parseProfile(profile)
  const own = parsed.output
  const tools = buildTools(parsed.allowedTools, options)
  const model = options.model ?? lazily(options)
  // Of its own id: several agents are several machines, for a runtime and for an inspector.
  const named = createMachine(
    { ...agentMachine.config, id: parsed.name, context: toContext(toTurnLimits(parsed)) },
    agentMachine.implementations,
  ) as unknown as AgentMachine
  const machine = named.provide({
    actors: {
      model: fromModel(model, toRequest(parsed, tools)),
      tool: fromTools(tools),
      approval: fromApprovals(tools),
      limit: fromLimits(),
      check: fromOutputCheck(own),
    },
    guards: {
      needsApproval: (_, call) => needsApproval(tools, call),
      // The profile's form is the agent's, as its tools are: a run that is taken up after a deploy has the new one.
      hasFormat: ({ context }) => context.output !== undefined || own !== undefined,
      isUnchecked: ({ context }) => (context.output !== undefined || own !== undefined) && isUnchecked(context),
      mayRepair: ({ context }) => (context.repairs ?? 0) < (context.output?.maxRepairs ?? parsed.maxRepairs),
    },
  })
  const queue = createQueue()
  let conversation: PlainConversation | undefined
  const agent: Agent<unknown> = {
    profile: parsed,
    machine,
    tools,
    run: toTurnFunction((prompt, turnOptions = {}) => {
      const turn = queue(async () => {
        assertPrompt(prompt)
        conversation ??= (await import('./plain-conversation.ts')).createPlainConversation(machine, parsed)
        return conversation.run(prompt, turnOptions)
      })
      return readTurn(parsed, turnOptions, turn)
    }),
    asTool: (toolOptions) => toAgentTool(agent, toolOptions),
  }
  makers.set(agent, ({ systemPrompt = profile.systemPrompt, model: name = profile.model, settings }) =>
    buildAgent({ ...profile, systemPrompt, model: name, settings: { ...profile.settings, ...settings } }, options),
  )
  return agent
}

/** What makes an agent that differs in its profile. */
const makers = new WeakMap<Agent<unknown>, (change: ProfileChange) => Agent<unknown>>()

/** The agent as a fork of one of its conversations has it. */
export function changeAgent(agent: Agent<unknown>, change: ProfileChange | undefined): Agent<unknown> {
  const make = makers.get(agent)
  if (change === undefined) return agent
  if (make === undefined) throw new TypeError(`Expected the agent \`${agent.profile.name}\` to be one that \`buildAgent\` made`)
  return make(change)
}

/** The limits of the profile hold wherever the machine runs: alone, as a run, as a child of another. */
function toContext(limits: TurnLimits): typeof agentMachine.config.context {
  const base = agentMachine.config.context
  if (typeof base !== 'function') return base
  return (args) => base({ ...args, input: { ...limits, ...args.input } })
}

/** A model that is opened when it is first used: what the store can answer needs no key. */
function lazily(options: OpenAIModelOptions): Model {
  let model: Model | undefined
  const open = (): Model => {
    model ??= openaiModel(options)
    return model
  }
  return Object.assign(async (...call: Parameters<Model>) => open()(...call), {
    costOf: async (...cost: Parameters<NonNullable<Model['costOf']>>) => open().costOf?.(...cost),
    resume:
      options.background === true
        ? async (...resumed: Parameters<NonNullable<Model['resume']>>) => open().resume?.(...resumed)
        : undefined,
  })
}
