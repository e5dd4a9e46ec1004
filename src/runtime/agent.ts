import { createActor, createMachine } from 'xstate'
import type { z } from 'zod'
import { fromApprovals, needsApproval } from '../actors/approval-actor.ts'
import { createDirectHost } from '../actors/direct-host.ts'
import { fromLimits } from '../actors/limit-actor.ts'
import type { Model, ModelRequest, ToolSchema } from '../actors/model.ts'
import { fromModel } from '../actors/model-actor.ts'
import { type OpenAIModelOptions, openaiModel } from '../actors/openai/model.ts'
import { fromOutputCheck, provideOutput } from '../actors/output-check.ts'
import { toOutputFormat } from '../actors/output-format.ts'
import { type ParsedProfile, type Profile, parseProfile } from '../actors/profile.ts'
import { isModelProgress } from '../actors/progress.ts'
import { provideSteps } from '../actors/step.ts'
import type { Tool } from '../actors/tool.ts'
import { fromTools } from '../actors/tool-actor.ts'
import { buildTools, type ToolboxOptions } from '../actors/toolbox.ts'
import { type AgentMachine, agentMachine, type OutputFormat, readAnswer, type TurnLimits } from '../machines/agent.ts'
import { tell } from './listener.ts'
import { createQueue } from './queue.ts'
import { addSpend, NO_SPEND, type Spend, toLostSpend, toSpend } from './spend.ts'
import {
  type AnyTurnOptions,
  fromAgentError,
  type TurnFunction,
  type TurnResult,
  toAborted,
  toCheckpointName,
  watchTurns,
} from './turn.ts'
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
    { ...agentMachine.config, id: parsed.name },
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
      mayRepair: ({ context }) => (context.repairs ?? 0) < (context.output?.maxRepairs ?? parsed.maxRepairs),
    },
  })
  const queue = createQueue()
  let conversation: PlainConversation | undefined
  return {
    profile: parsed,
    machine,
    tools,
    run: toTurnFunction((prompt, turnOptions = {}) => {
      const turn = queue(async () => {
        assertPrompt(prompt)
        conversation ??= createPlainConversation(machine, parsed)
        return conversation.run(prompt, turnOptions)
      })
      return readTurn(parsed, turnOptions, turn)
    }),
  }
}

/** How the turns of an agent are limited. */
export const toTurnLimits = ({ maxSteps, maxParallel, limits, runLimits, onLimit }: ParsedProfile): TurnLimits => ({
  maxSteps,
  maxParallel,
  limits,
  runLimits,
  onLimit,
})

/** The form of a turn's answer as the machine and the model are told; nothing when it is any text. */
export function toFormat({ maxRepairs }: ParsedProfile, output: z.ZodType | undefined): { readonly output?: OutputFormat } {
  return output === undefined ? {} : { output: toOutputFormat(output, maxRepairs) }
}

/** Everything of a model request but the conversation. */
export function toRequest(
  profile: ParsedProfile,
  tools: readonly Tool[],
  output = profile.output,
): Omit<ModelRequest, 'messages'> {
  const { model, systemPrompt, settings = {} } = profile
  const schemas: ToolSchema[] = tools.map(({ name, description, parameters }) => ({ name, description, parameters }))
  const { output: format } = toFormat(profile, output)
  const form = format === undefined ? {} : { output: { name: format.name, schema: format.schema } }
  return { model, systemPrompt, settings, tools: schemas, ...form }
}

export function assertPrompt(prompt: unknown): asserts prompt is string {
  if (typeof prompt !== 'string' || prompt === '')
    throw new TypeError(`Expected \`prompt\` to be a non-empty string, got \`${String(prompt)}\` (${typeof prompt})`)
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

interface PlainConversation {
  run(prompt: string, options: AnyTurnOptions): Promise<TurnResult>
}

function createPlainConversation(machine: AgentMachine, profile: ParsedProfile): PlainConversation {
  let options: AnyTurnOptions = {}
  let spend: Spend = NO_SPEND
  let turn = Promise.withResolvers<void>()

  const host = createDirectHost({
    onProgress(progress) {
      if (!isModelProgress(progress)) return
      if (progress.type === 'text') tell(options.onText, progress.delta)
      else if (progress.type === 'retry') spend = addSpend(spend, toLostSpend(progress.error))
    },
    onSettled(step, outcome, startedAt) {
      spend = addSpend(spend, toSpend({ ...step, ...outcome, attempt: 1, startedAt, endedAt: Date.now() }))
    },
  })

  const actor = createActor(machine, { input: toTurnLimits(profile) })
  provideSteps(actor.system, host)
  const turns = watchTurns(actor, { settled: () => turn.resolve(), broken: (error) => turn.reject(error) })
  actor.start()

  return {
    async run(prompt, turnOptions) {
      options = turnOptions
      spend = NO_SPEND
      turn = Promise.withResolvers<void>()
      const { signal } = options
      if (signal?.aborted) throw toAborted('The turn', signal)
      const onAbort = (): void => actor.send({ type: 'abort' })
      signal?.addEventListener('abort', onAbort, { once: true })
      turns.arm()
      provideOutput(actor.system, options.output)
      actor.send({ type: 'prompt', text: prompt, ...toFormat(profile, options.output) })
      await turn.promise.finally(() => signal?.removeEventListener('abort', onAbort))
      const { context } = actor.getSnapshot()
      if (context.error !== undefined) throw fromAgentError(context.error)
      const output = readAnswer(context)?.content ?? ''
      return { output, checkpoint: toCheckpointName(profile.name, context.turn), turn: context.turn, reused: false, spend }
    },
  }
}
