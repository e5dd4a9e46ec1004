import { assign, enqueueActions, fromPromise, type NonReducibleUnknown, type PromiseActorLogic, setup } from 'xstate'
import { PerdureError } from '../errors.ts'
import type {
  AgentContext,
  AgentEvent,
  AgentInput,
  AgentOutput,
  Approval,
  CallEvent,
  CheckInput,
  CheckOutcome,
  LimitDecision,
  LimitInput,
  ModelInput,
  TimeEvent,
  ToolInput,
} from './agent-context.ts'
import {
  approvalActor,
  beginTurn,
  callActor,
  DEFAULT_MAX_PARALLEL,
  isCostUnknown,
  isUnchecked,
  limitTurn,
  modelKey,
  openCalls,
  readHistory,
  readOwn,
  readReached,
  readRemaining,
  readTimeLimit,
  spend,
  toAgentError,
  toLimitError,
  toReached,
  toUserMessage,
} from './agent-turn.ts'
import type { ModelAnswer, ToolCall, ToolMessage } from './conversation.ts'
import { addLimits, type Limits, raiseLimits, toLostSpent, toSpent } from './limits.ts'

/** What the agent machine is made of: its slots, guards and actions. */

/** A slot that nobody has filled fails when it is first used, and says so. */
function unprovided<TOutput, TInput extends NonReducibleUnknown>(slot: string): PromiseActorLogic<TOutput, TInput> {
  return fromPromise(() =>
    Promise.reject(new TypeError(`Expected the actor \`${slot}\` of the agent machine to be provided, got none`)),
  )
}

/** A guard by name, which XState's types do not know inside of the setup that names it. */
const toApprovalGuard = (call: ToolCall): never => ({ type: 'needsApproval', params: call }) as never

const TURN_TIME = 'limit.turn'
const RUN_TIME = 'limit.run'

export const agentSetup = setup({
  types: {
    // Types only: XState reads these at compile time.
    context: {} as AgentContext,
    events: {} as AgentEvent | CallEvent | TimeEvent,
    input: {} as AgentInput | undefined,
    output: {} as AgentOutput,
    tags: {} as 'idle' | 'busy' | 'settled',
    meta: {} as { readonly waitsFor: 'prompt' | 'model' | 'tools' | 'person' | 'retry' },
    children: {} as { model: 'model'; limit: 'limit'; check: 'check' },
  },
  actors: {
    model: unprovided<ModelAnswer, ModelInput>('model'),
    tool: unprovided<ToolMessage, ToolInput>('tool'),
    approval: unprovided<Approval, ToolInput>('approval'),
    limit: unprovided<LimitDecision, LimitInput>('limit'),
    check: unprovided<CheckOutcome, CheckInput>('check'),
  },
  guards: {
    asksForTools: ({ context }) => openCalls(context).length > 0,
    allSettled: ({ context }) => openCalls(context).every(({ id }) => Object.hasOwn(context.results, id)),
    hasStepsLeft: ({ context }) => context.step < context.maxSteps,
    resultsMissing: ({ context }) => openCalls(context).length > 0,
    hasSteering: ({ context }) => (context.steering?.length ?? 0) > 0,
    hasQueued: ({ context }) => (context.queue?.length ?? 0) > 0,
    isAnswered: ({ context }) => context.endsWithAnswer === true && context.turn > 0,
    hasFormat: ({ context }) => context.output !== undefined,
    mayRepair: ({ context }) => (context.repairs ?? 0) < (context.output?.maxRepairs ?? 0),
    isLimited: ({ context }) => readReached(context) !== undefined,
    isCostUnknown: ({ context }) => isCostUnknown(context),
    /** The limit was raised while its time ran, or is there no more. */
    isTimeRaised: ({ context, event }) =>
      event.type === 'limit.time' && (readTimeLimit(context, event.scope) ?? Number.POSITIVE_INFINITY) > event.max,
    /** There is an answer whose form was not told yet. */
    isUnchecked: ({ context }) => context.output !== undefined && isUnchecked(context),
    mayBeExtended: ({ context }) => context.onLimit === 'ask',
    /** Whether a person has to approve the call first. To be provided with the tools. */
    needsApproval: (_, _call: ToolCall) => false,
  },
  actions: {
    beginTurn: assign(({ context, event }) => {
      if (event.type === 'prompt') return beginTurn(context, event)
      return event.type === 'steer' || event.type === 'interrupt' ? beginTurn(context, { text: event.text }) : {}
    }),
    beginQueued: assign(({ context }) => {
      const [prompt, ...queue] = context.queue ?? []
      return prompt === undefined ? {} : { ...beginTurn(context, prompt), queue }
    }),
    beginRetry: assign(({ context, event }) =>
      event.type === 'retry' ? { ...limitTurn(context, event), error: undefined, isAgain: true } : {},
    ),
    startTime: enqueueActions(({ enqueue, context }) => {
      const { limits, runLimits, runTimeLeftMs } = context
      const watch = (id: string, scope: 'turn' | 'run', max: number | undefined, delay: number | undefined): void => {
        if (max === undefined || delay === undefined) return
        enqueue.cancel(id)
        enqueue.raise({ type: 'limit.time', scope, max }, { id, delay })
      }
      watch(TURN_TIME, 'turn', limits?.wallTimeMs, limits?.wallTimeMs)
      watch(RUN_TIME, 'run', runLimits?.wallTimeMs, runTimeLeftMs)
    }),
    prolongTime: enqueueActions(({ enqueue, context, event }) => {
      if (event.type !== 'limit.time') return
      const { scope } = event
      const max = readTimeLimit(context, scope)
      if (max === undefined) return
      const id = scope === 'run' ? RUN_TIME : TURN_TIME
      enqueue.raise({ type: 'limit.time', scope, max }, { id, delay: max - event.max })
    }),
    stopTime: enqueueActions(({ enqueue }) => enqueue.cancel(TURN_TIME)),
    rememberTime: assign(({ event }) => {
      if (event.type !== 'limit.time') return {}
      const { scope, max } = event
      const reached = { limit: 'wallTimeMs', scope, max, spent: max } as const
      return scope === 'run' ? { runTimeUp: reached } : { turnTimeUp: reached }
    }),
    queuePrompt: assign(({ context, event }) => {
      if (event.type !== 'prompt') return {}
      const { type: _, ...prompt } = event
      return { queue: [...(context.queue ?? []), prompt] }
    }),
    steer: assign(({ context, event }) =>
      event.type === 'steer' || event.type === 'interrupt'
        ? { steering: [...(context.steering ?? []), event.text], said: [...(context.said ?? []), event.text] }
        : {},
    ),
    joinSteering: assign(({ context: { messages, steering } }) =>
      steering === undefined || steering.length === 0
        ? {}
        : { messages: [...messages, ...steering.map(toUserMessage)], steering: [] },
    ),
    breakOffCalls: assign(({ context }) => ({ messages: readHistory(context), steering: [], results: {}, approved: {} })),
    countStep: assign({ step: ({ context }) => context.step + 1 }),
    takeBackStep: assign({ step: ({ context }) => context.step - 1 }),
    appendAnswer: assign(({ context }, answer: ModelAnswer) => ({
      messages: [...context.messages, answer.message],
      isAgain: false,
      ...spend(context, toSpent(answer)),
    })),
    spendLost: assign(({ context }, error: unknown) => spend(context, toLostSpent(toAgentError(error).details))),
    collectResult: assign(({ context }, message: ToolMessage) => ({
      results: { ...context.results, [message.callId]: message },
      ...(message.spent === undefined ? {} : spend(context, message.spent)),
    })),
    takeApproval: assign(({ context }, { id, approval }: { id: string; approval: Approval }) => {
      if (approval.approved) return { approved: { ...context.approved, [id]: approval.arguments } }
      const name = openCalls(context).find((call) => call.id === id)?.name ?? ''
      const reason = approval.reason === undefined ? 'No reason was given.' : `The reason: ${approval.reason}`
      const content = `A person denied this call of \`${name}\`. It was not executed. ${reason}`
      return { results: { ...context.results, [id]: { role: 'tool', callId: id, name, content, isError: true } } }
    }),
    appendResults: assign({
      // In the order in which the model asked, whatever the order in which they settled.
      messages: ({ context }) => [
        ...context.messages,
        ...openCalls(context).flatMap(({ id }) => readOwn(context.results, id) ?? []),
      ],
      results: {},
      calls: {},
      approved: {},
      isAgain: false,
    }),
    sendBack: assign(({ context }, issues: string) => ({
      messages: [
        ...context.messages,
        toUserMessage(`Your answer does not have the form that was asked for:\n${issues}\nAnswer again, with nothing else.`),
      ],
      repairs: (context.repairs ?? 0) + 1,
    })),
    rememberError: assign({ error: (_, error: unknown) => toAgentError(error) }),
    rememberReached: assign({ reached: (_, error: unknown) => toReached(error) }),
    rememberMaxSteps: assign({
      error: ({ context }) => ({
        code: 'MAX_STEPS',
        message: `The turn asked the model ${context.step} times without coming to an answer. Raise \`maxSteps\` in the profile and run it again, or make the task smaller.`,
        details: { maxSteps: context.maxSteps, turn: context.turn },
      }),
    }),
    rememberLimit: assign(({ context }) => {
      const reached = readReached(context) ?? context.reached
      return reached === undefined ? {} : { error: toLimitError(reached, context.turn) }
    }),
    rememberUnknownCost: assign({
      error: ({ context }) => ({
        code: 'PRICE_UNKNOWN',
        message:
          'The turn has a limit of dollars, and the price of its model is not known: what it costs cannot be told. Give the price (`prices`), or limit tokens.',
        details: { turn: context.turn },
      }),
    }),
    rememberMisfit: assign({
      error: ({ context }, issues: string) => ({
        code: 'OUTPUT_INVALID',
        message: `The answer does not have the form that was asked for, ${context.repairs ?? 0} repairs later:\n${issues}`,
        details: { turn: context.turn, issues },
      }),
    }),
    rememberAbort: assign({
      error: ({ context }) => ({
        code: 'ABORTED',
        message: 'The turn was aborted. What had settled is kept; run it again to go on from there.',
        details: { turn: context.turn },
      }),
    }),
    countLimit: assign({
      // By the estimate of an answer that was cut off it may be a hair's breadth away.
      reached: ({ context }) => readReached(context) ?? context.reached,
      timesLimited: ({ context }) => (context.timesLimited ?? 0) + 1,
    }),
    extendLimit: enqueueActions(({ enqueue, context }, by: Limits) => {
      const scope = context.reached?.scope
      if (scope === 'run')
        enqueue.assign({ runLimits: raiseLimits(context.runLimits, by), runGranted: addLimits(context.runGranted, by) })
      else enqueue.assign({ limits: raiseLimits(context.limits, by) })
      const timeMs = by.wallTimeMs
      const up = scope === 'run' ? context.runTimeUp : context.turnTimeUp
      if (up !== undefined && scope !== undefined && timeMs !== undefined) {
        enqueue.assign(scope === 'run' ? { runTimeUp: undefined } : { turnTimeUp: undefined })
        enqueue.raise(
          { type: 'limit.time', scope, max: up.max + timeMs },
          { id: scope === 'run' ? RUN_TIME : TURN_TIME, delay: timeMs },
        )
      }
      enqueue.assign({ reached: undefined, isAgain: true })
    }),
    /** Whoever began it with a prompt hears of the failure. */
    failIfAnswerIsAll: ({ context }) => {
      if (context.endsWithAnswer !== true || context.error === undefined) return
      const { code, message, details } = context.error
      throw new PerdureError(code, message, { details })
    },
    forgetCalls: assign({ calls: {} }),
    startCalls: enqueueActions(({ enqueue, context, check }) => {
      const open = openCalls(context).filter(({ id }) => !Object.hasOwn(context.results, id))
      // What was recorded by a version without `calls` had started all of them at once.
      const calls = new Map(Object.entries(context.calls ?? Object.fromEntries(open.map(({ id }) => [id, 'running' as const]))))
      let running = open.filter(({ id }) => calls.get(id) === 'running').length
      for (const call of open) {
        const { id } = call
        if (calls.get(id) === 'running') continue
        const approved = readOwn(context.approved, id)
        const key = `${modelKey(context)}/${id}`
        const input: ToolInput = { key, call, remaining: readRemaining(context), isAgain: context.isAgain }
        if (approved === undefined && check(toApprovalGuard(call))) {
          if (calls.get(id) === 'approving') continue
          calls.set(id, 'approving')
          enqueue.spawnChild('approval', { id: approvalActor(call), input })
        } else if (running < (context.maxParallel ?? DEFAULT_MAX_PARALLEL)) {
          running++
          calls.set(id, 'running')
          const isEdited = approved !== undefined && approved !== call.arguments
          const executed = isEdited ? { ...call, arguments: approved, isEdited } : call
          enqueue.spawnChild('tool', { id: callActor(call), input: { ...input, call: executed } })
        }
      }
      enqueue.assign({ calls: Object.fromEntries(calls) })
    }),
    stopCalls: enqueueActions(({ enqueue, context }) => {
      for (const call of openCalls(context)) {
        enqueue.stopChild(callActor(call))
        enqueue.stopChild(approvalActor(call))
      }
    }),
  },
})
