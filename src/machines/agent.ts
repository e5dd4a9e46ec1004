import { and, not, stopChild } from 'xstate'
import { agentSetup } from './agent-setup.ts'
import { DEFAULT_MAX_STEPS, limitKey, modelKey, readAnswer, readRemaining, toCallId, toReached } from './agent-turn.ts'
import { addSpent, NOTHING_SPENT } from './limits.ts'

/**
 * The heart of Perdure: an agent that thinks (asks a model) and acts (executes the tools that the model asked for) until it has
 * an answer. Decisions only: the slots `model`, `tool`, `approval`, `limit` and `check` are filled by `buildAgent`, or by you with
 * `agentMachine.provide`.
 */

export type * from './agent-context.ts'
export { isUnchecked, readAnswer, readHistory } from './agent-turn.ts'

/** Time that was given more meanwhile is not up. */
const prolonged = { guard: 'isTimeRaised', actions: 'prolongTime' } as const

/** What every agent is: it asks the model, has the calls of the answer executed, and asks again until there are none. It decides only: what it invokes is given by `buildAgent`. */
export const agentMachine = agentSetup.createMachine({
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

/** The type of {@link agentMachine}. */
export type AgentMachine = typeof agentMachine
