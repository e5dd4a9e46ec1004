import {
  and,
  assign,
  enqueueActions,
  fromPromise,
  type NonReducibleUnknown,
  not,
  type PromiseActorLogic,
  setup,
  stopChild,
} from 'xstate'
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
  DEFAULT_MAX_STEPS,
  isCostUnknown,
  limitKey,
  limitTurn,
  modelKey,
  openCalls,
  readAnswer,
  readHistory,
  readOwn,
  readReached,
  readRemaining,
  readTimeLimit,
  spend,
  toAgentError,
  toCallId,
  toLimitError,
  toReached,
  toUserMessage,
} from './agent-turn.ts'
import type { ModelAnswer, ToolCall, ToolMessage } from './conversation.ts'
import { addLimits, addSpent, type Limits, NOTHING_SPENT, raiseLimits, toLostSpent, toSpent } from './limits.ts'

/**
 * The heart of Perdure: an agent that thinks (asks a model) and acts (executes the tools that the model asked for) until it has
 * an answer. Decisions only: the slots `model`, `tool`, `approval`, `limit` and `check` are filled by `buildAgent`, or by you with
 * `agentMachine.provide`.
 */

export type * from './agent-context.ts'
export { readAnswer, readHistory } from './agent-turn.ts'

/** A slot that nobody has filled fails when it is first used, and says so. */
function unprovided<TOutput, TInput extends NonReducibleUnknown>(slot: string): PromiseActorLogic<TOutput, TInput> {
  return fromPromise(() =>
    Promise.reject(new TypeError(`Expected the actor \`${slot}\` of the agent machine to be provided, got none`)),
  )
}

/** A guard by name, which XState's types do not know inside of the setup that names it. */
const toApprovalGuard = (call: ToolCall): never => ({ type: 'needsApproval', params: call }) as never

/** Time that was given more meanwhile is not up. */
const prolonged = { guard: 'isTimeRaised', actions: 'prolongTime' } as const

const TURN_TIME = 'limit.turn'
const RUN_TIME = 'limit.run'

export const agentMachine = setup({
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
    isUnchecked: ({ context }) =>
      context.output !== undefined && readAnswer(context) !== undefined && context.error?.code !== 'OUTPUT_INVALID',
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
      event.type === 'steer' || event.type === 'interrupt' ? { steering: [...(context.steering ?? []), event.text] } : {},
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
}).createMachine({
  id: 'agent',
  description: 'Thinks and acts until it has an answer to the prompt',
  context: ({ input }) => ({
    messages: input?.messages ?? [],
    turn: input?.turn ?? 0,
    turnKey: '',
    turnStart: input?.messages?.length ?? 0,
    step: 0,
    maxSteps: input?.maxSteps ?? DEFAULT_MAX_STEPS,
    results: {},
    error: undefined,
    maxParallel: input?.maxParallel,
    limits: input?.limits,
    runLimits: input?.runLimits,
    onLimit: input?.onLimit,
    runSpent: input?.runSpent,
    runGranted: input?.runGranted,
    ...(input?.prompt === undefined ? {} : { queue: [{ text: input.prompt }], endsWithAnswer: true }),
  }),
  initial: 'ready',
  states: {
    ready: {
      tags: ['idle', 'settled'],
      description: 'Waits for a prompt',
      meta: { waitsFor: 'prompt' },
      entry: 'stopTime',
      always: [
        { guard: 'hasQueued', target: 'continuing', actions: ['beginQueued', 'startTime'] },
        { guard: 'isAnswered', target: 'done' },
      ],
      on: {
        prompt: { target: 'continuing', actions: ['beginTurn', 'startTime'] },
        steer: { target: 'continuing', actions: ['beginTurn', 'startTime'] },
        interrupt: { target: 'continuing', actions: ['beginTurn', 'startTime'] },
        'limit.time': [prolonged, { actions: 'rememberTime' }],
        stop: 'done',
      },
    },
    thinking: {
      tags: 'busy',
      description: 'Asks the model',
      meta: { waitsFor: 'model' },
      entry: ['joinSteering', 'countStep'],
      invoke: {
        id: 'model',
        src: 'model',
        input: ({ context }) => ({
          key: modelKey(context),
          messages: context.messages,
          remaining: readRemaining(context),
          output: context.output,
          isAgain: context.isAgain,
        }),
        onDone: {
          target: 'deciding',
          actions: { type: 'appendAnswer', params: ({ event }) => event.output },
        },
        onError: [
          {
            guard: ({ event }) => toReached(event.error) !== undefined,
            target: 'limiting',
            actions: [
              { type: 'spendLost', params: ({ event }: { event: { error: unknown } }) => event.error },
              { type: 'rememberReached', params: ({ event }: { event: { error: unknown } }) => event.error },
              'takeBackStep',
            ],
          },
          {
            target: 'failed',
            actions: [
              { type: 'spendLost', params: ({ event }: { event: { error: unknown } }) => event.error },
              { type: 'rememberError', params: ({ event }: { event: { error: unknown } }) => event.error },
              'takeBackStep',
            ],
          },
        ],
      },
      on: {
        prompt: { actions: 'queuePrompt' },
        steer: { actions: 'steer' },
        // Not the same request again: it keeps its number.
        interrupt: { target: 'continuing', actions: 'steer' },
        abort: { target: 'failed', actions: ['rememberAbort', 'takeBackStep'] },
        'limit.time': [prolonged, { target: 'limiting', actions: ['rememberTime', 'takeBackStep'] }],
      },
    },
    deciding: {
      tags: 'busy',
      description: 'Reads the answer',
      always: [
        { guard: 'asksForTools', target: 'acting' },
        { guard: 'hasSteering', target: 'continuing' },
        { guard: 'hasFormat', target: 'checking' },
        { target: 'ready' },
      ],
    },
    checking: {
      tags: 'busy',
      description: 'Checks the form of the answer',
      invoke: {
        id: 'check',
        src: 'check',
        input: ({ context }) => ({
          output: context.output ?? { name: '', schema: {}, maxRepairs: 0 },
          text: readAnswer(context)?.content ?? '',
        }),
        onDone: [
          { guard: ({ event }) => event.output === undefined, target: 'ready' },
          { guard: 'mayRepair', target: 'continuing', actions: { type: 'sendBack', params: ({ event }) => event.output ?? '' } },
          { target: 'failed', actions: { type: 'rememberMisfit', params: ({ event }) => event.output ?? '' } },
        ],
        onError: {
          target: 'failed',
          actions: { type: 'rememberError', params: ({ event }: { event: { error: unknown } }) => event.error },
        },
      },
      on: {
        prompt: { actions: 'queuePrompt' },
        steer: { target: 'continuing', actions: 'steer' },
        interrupt: { target: 'continuing', actions: 'steer' },
        abort: { target: 'failed', actions: 'rememberAbort' },
        'limit.time': [prolonged, { actions: 'rememberTime' }],
      },
    },
    acting: {
      tags: 'busy',
      description: 'Executes the tool calls of one answer, as many at once as may be; some wait until a person has approved them',
      meta: { waitsFor: 'tools' },
      entry: ['forgetCalls', 'startCalls'],
      exit: 'stopCalls',
      always: [{ guard: 'allSettled', target: 'continuing', actions: 'appendResults' }],
      on: {
        prompt: { actions: 'queuePrompt' },
        steer: { actions: 'steer' },
        interrupt: { target: 'continuing', actions: ['breakOffCalls', 'steer'] },
        abort: { target: 'failed', actions: 'rememberAbort' },
        'limit.time': [prolonged, { target: 'limiting', actions: 'rememberTime' }],
        'xstate.done.actor.call.*': {
          actions: [
            { type: 'collectResult', params: ({ event }) => event.output },
            stopChild(({ event }) => event.actorId),
            'startCalls',
          ],
        },
        'xstate.error.actor.call.*': {
          target: 'failed',
          actions: { type: 'rememberError', params: ({ event }: { event: { error: unknown } }) => event.error },
        },
        'xstate.done.actor.approval.*': {
          actions: [
            { type: 'takeApproval', params: ({ event }) => ({ id: toCallId(event.actorId), approval: event.output }) },
            stopChild(({ event }) => event.actorId),
            'startCalls',
          ],
        },
        'xstate.error.actor.approval.*': {
          target: 'failed',
          actions: { type: 'rememberError', params: ({ event }: { event: { error: unknown } }) => event.error },
        },
      },
    },
    continuing: {
      tags: 'busy',
      description: 'Decides whether the model may be asked again',
      always: [
        { guard: 'isLimited', target: 'limiting' },
        { guard: 'isCostUnknown', target: 'failed', actions: 'rememberUnknownCost' },
        { guard: 'hasStepsLeft', target: 'thinking' },
        { target: 'failed', actions: 'rememberMaxSteps' },
      ],
    },
    limiting: {
      tags: 'busy',
      description: 'Decides what happens at a limit',
      entry: 'countLimit',
      always: [
        { guard: 'mayBeExtended', target: 'limited' },
        { target: 'failed', actions: 'rememberLimit' },
      ],
    },
    limited: {
      tags: 'busy',
      description: 'Waits until a person has raised the limit, or has said that the turn is to end',
      meta: { waitsFor: 'person' },
      invoke: {
        id: 'limit',
        src: 'limit',
        input: ({ context }) => ({
          key: limitKey(context),
          reached: context.reached ?? { limit: 'steps', scope: 'turn', max: 0, spent: 0 },
        }),
        onDone: [
          {
            guard: ({ event }) => 'stop' in event.output,
            target: 'failed',
            actions: 'rememberLimit',
          },
          {
            guard: 'resultsMissing',
            target: 'acting',
            actions: { type: 'extendLimit', params: ({ event }) => ('extend' in event.output ? event.output.extend : {}) },
          },
          {
            target: 'continuing',
            actions: { type: 'extendLimit', params: ({ event }) => ('extend' in event.output ? event.output.extend : {}) },
          },
        ],
        onError: {
          target: 'failed',
          actions: { type: 'rememberError', params: ({ event }: { event: { error: unknown } }) => event.error },
        },
      },
      on: {
        prompt: { actions: 'queuePrompt' },
        steer: { actions: 'steer' },
        interrupt: { actions: ['breakOffCalls', 'steer'] },
        abort: { target: 'failed', actions: 'rememberAbort' },
        'limit.time': [prolonged, { actions: 'rememberTime' }],
      },
    },
    failed: {
      tags: ['idle', 'settled'],
      description: 'The turn ended without an answer; it can be tried again from where it stopped',
      meta: { waitsFor: 'retry' },
      entry: ['stopTime', 'failIfAnswerIsAll'],
      on: {
        prompt: { target: 'continuing', actions: ['beginTurn', 'startTime'] },
        steer: { target: 'continuing', actions: ['beginTurn', 'startTime'] },
        interrupt: { target: 'continuing', actions: ['beginTurn', 'startTime'] },
        retry: [
          { guard: 'resultsMissing', target: 'acting', actions: ['beginRetry', 'startTime'] },
          // P2: it is there, and paid.
          { guard: and(['isUnchecked', not('hasSteering')]), target: 'checking', actions: ['beginRetry', 'startTime'] },
          { target: 'continuing', actions: ['beginRetry', 'startTime'] },
        ],
        'limit.time': [prolonged, { actions: 'rememberTime' }],
        stop: 'done',
      },
    },
    done: { type: 'final', tags: 'settled', description: 'Takes no more prompts' },
  },
  output: ({ context }) => ({
    output: readAnswer(context)?.content ?? '',
    spent: addSpent(context.runSpent ?? NOTHING_SPENT, {}),
  }),
})

export type AgentMachine = typeof agentMachine
