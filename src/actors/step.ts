import { createHash } from 'node:crypto'
import type { AnyActorRef, EventObject, NonReducibleUnknown, PromiseActorLogic, PromiseSnapshot } from 'xstate'
import { PerdureError } from '../errors.ts'
import { directHost } from './direct-host.ts'
import { type DoubtPolicy, retryInDoubt } from './doubt.ts'
import type { Question } from './question.ts'
import type { ToRetryDelay } from './retry.ts'

type AnyActorSystem = AnyActorRef['system']

/**
 * Steps: work whose result a runtime records under a key, so that it is never executed again once it has settled. Without a
 * runtime a step simply executes.
 */

/** What a step is, as far as its record is concerned. */
export interface StepDescription {
  /** Names the step within its run; the same over restarts (P4). */
  readonly key: string
  readonly kind: string
  readonly name: string
  /** Whether executing it changes anything outside: then it waits until its intent is on disk (P3). */
  readonly effect: boolean
  /** What it is to do, kept with the intent. */
  readonly data?: unknown
  /** Whose model it asks. */
  readonly provider?: string | undefined
  /** What it asks, for those who trace: a `ModelRequest`, or the text of a tool's arguments. */
  readonly toAsked?: (() => unknown) | undefined
  /** It may have been begun before, and ended on purpose: its record is looked for. Default: only what was in flight at a restart was. */
  readonly isAgain?: boolean | undefined
}

/** How a step is executed, when executing it can fail. */
export interface StepPolicy<T> {
  readonly doubt: DoubtPolicy<T>
  /** Milliseconds that one attempt may take; then it fails. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** When a failed attempt is followed by another. Default: never. */
  readonly retry?: ToRetryDelay | undefined
  /** Whether an outcome that is `ok` is a failure all the same, as far as `retry` and `timeoutMs` are concerned. Default: it is not. */
  readonly isFailure?: ((value: T) => boolean) | undefined
  /** What an attempt settles with that took too long. */
  readonly onTimeout?: ((timeoutMs: number) => StepOutcome<T>) | undefined
}

export interface StepContext {
  /**
   * Aborts when the step must end. See `isSuspension` for the difference between a process that ends and work that is to end.
   */
  readonly signal: AbortSignal
  /** Names the step among all runs, the same over restarts: an idempotency key. */
  readonly key: string
  /** Counted from 1, over restarts. */
  readonly attempt: number
  /** How many earlier attempts were cut off, and came to nothing that is known. */
  readonly doubted: number
  /** The run that the step belongs to; empty without a runtime. */
  readonly runId: string
  /** A folder for files that the step needs to be found again; removed once it has settled. Not created yet. Undefined without a runtime. */
  readonly directory?: string | undefined
  /** Tells what happens meanwhile; observers see it, nothing records it. */
  readonly progress: (progress: unknown) => void
  /** Records what is needed to find the effect again after a crash: a second note replaces the first. */
  readonly note: (value: unknown) => void
}

export type StepOutcome<T> = { readonly status: 'ok'; readonly value: T } | { readonly status: 'error'; readonly error: unknown }

/** What a runtime gives the actors of one run. */
export interface StepHost {
  /** A name for a step that has none: no other step of the run has it. */
  nameStep(actor: AnyActorRef): string
  /** Puts an event into the inbox of another run, in the same commit as the transition that is under way. Default: there are no runs. */
  sendToRun?(runId: string, event: EventObject): void
  /**
   * Calls `settle` once, with the recorded outcome if there is one, else with that of `execute`. `settle` is called in the same
   * synchronous stretch in which the outcome is recorded, so that both reach the disk together (P5). After `signal` has aborted it
   * may not be called.
   */
  run<T>(
    step: StepDescription,
    execute: (context: StepContext) => Promise<T>,
    settle: (outcome: StepOutcome<T>) => void,
    signal: AbortSignal,
    policy: StepPolicy<T>,
  ): void
  /** The hash of a text that becomes part of a key. Default: SHA-256. */
  hash?(text: string): string
  /**
   * Asks a person and calls `settle` once with the answer, as {@link StepHost.run} does. The run waits for as long as it takes, over restarts. Default:
   * there is nobody to ask, and it fails.
   */
  ask?<T>(step: StepDescription, question: Question<T>, settle: (outcome: StepOutcome<T>) => void, signal: AbortSignal): void
}

const hosts = new WeakMap<AnyActorSystem, StepHost>()

/** Lets `host` record the steps of all actors of `system`. To be called before the root actor is started. */
export function provideSteps(system: AnyActorSystem, host: StepHost): void {
  hosts.set(system, host)
}

type StepEvent<TOutput> =
  | { readonly type: 'perdure.settled'; readonly outcome: StepOutcome<TOutput> }
  | { readonly type: 'xstate.stop' }

/** The actor is a step in flight: its snapshot names its record, so that it finds it again after a restart. */
interface StepSnapshot {
  stepKey?: string
  /** It waits for a person: nothing is under way. */
  waits?: true
}

/** The key of the step whose persisted snapshot it is, while it is in flight. */
export function readStepKey(snapshot: unknown): string | undefined {
  const key = typeof snapshot === 'object' && snapshot !== null && 'stepKey' in snapshot ? snapshot.stepKey : undefined
  return typeof key === 'string' ? key : undefined
}

/** Whether what has this snapshot is a step that only waits for a person. */
export const isWaitingStep = (snapshot: unknown): boolean =>
  typeof snapshot === 'object' && snapshot !== null && 'waits' in snapshot && snapshot.waits === true

/** How a step is described to its host; without a key, the host names it. With a `question`, it is a person who does it. */
export interface Description<T> extends Omit<StepDescription, 'key'> {
  readonly key?: string | undefined
  readonly policy?: StepPolicy<T> | undefined
  readonly question?: Question<T> | undefined
}

/** Two actors of a run may name their steps alike, such as two agents: what is not a child of the root tells which it is a child of. */
function toScope(self: AnyActorRef): string {
  const { _parent: parent } = self
  return parent?._parent === undefined ? '' : `${parent.id}@${parent.sessionId}/`
}

const toPlainHash = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 16)

const stepLogics = new WeakSet<object>()

/** Whether it is actor logic for a step: its host executes it. */
export const isStepLogic = (logic: object): boolean => stepLogics.has(logic)

const noPolicy = { doubt: retryInDoubt<never>() } as const

/**
 * Actor logic for a promise that is a step. Used like XState's `fromPromise`; `describe` names the step from its input.
 * A plain actor (no runtime) executes it at each start.
 */
export function toStepLogic<TOutput, TInput extends NonReducibleUnknown>(
  describe: (input: TInput, self: AnyActorRef, hash: (text: string) => string) => Description<TOutput>,
  execute: (input: TInput, context: StepContext) => Promise<TOutput>,
): PromiseActorLogic<TOutput, TInput> {
  const controllers = new WeakMap<AnyActorRef, AbortController>()
  const logic: PromiseActorLogic<TOutput, TInput> = {
    getInitialSnapshot: (_scope, input) => ({ status: 'active', output: undefined, error: undefined, input }),
    transition(snapshot, event, { self }) {
      if (snapshot.status !== 'active') return snapshot
      const known = event as unknown as StepEvent<TOutput> // other events are not for a step: they fall through
      if (known.type === 'xstate.stop') {
        controllers.get(self)?.abort()
        return { status: 'stopped', output: undefined, error: undefined, input: undefined }
      }
      if (known.type !== 'perdure.settled') return snapshot
      return known.outcome.status === 'ok'
        ? { status: 'done', output: known.outcome.value, error: undefined, input: undefined }
        : { status: 'error', output: undefined, error: known.outcome.error, input: undefined }
    },
    start(snapshot, { self, system }) {
      if (snapshot.status !== 'active') return
      const controller = new AbortController()
      controllers.set(self, controller)
      const input = snapshot.input as TInput // an active step was given its input
      const settle = (outcome: StepOutcome<TOutput>): void => {
        const event: StepEvent<TOutput> = { type: 'perdure.settled', outcome }
        if (self.getSnapshot().status === 'active') self.send(event)
      }
      const host = hosts.get(system) ?? directHost
      const {
        question,
        policy = noPolicy,
        key: named,
        ...described
      } = describe(input, self, (text) => host.hash?.(text) ?? toPlainHash(text))
      const own = snapshot as StepSnapshot // made above, or restored; nobody has seen it without its key
      const key = own.stepKey ?? (named === undefined ? host.nameStep(self) : `${toScope(self)}${named}`)
      own.stepKey = key
      const step: StepDescription = { ...described, key }
      if (question === undefined) {
        host.run(step, (context) => execute(input, context), settle, controller.signal, policy)
      } else {
        own.waits = true
        if (host.ask === undefined) queueMicrotask(() => settle({ status: 'error', error: toNobodyError(question) }))
        else host.ask(step, question, settle, controller.signal)
      }
    },
    getPersistedSnapshot: (snapshot) => snapshot,
    restoreSnapshot: (snapshot) => snapshot as PromiseSnapshot<TOutput, TInput>, // written by getPersistedSnapshot
  }
  stepLogics.add(logic)
  return logic
}

/** How `system` reaches other runs; `undefined` without a runtime. */
export function findMessenger(system: AnyActorSystem): StepHost['sendToRun'] | undefined {
  return hosts.get(system)?.sendToRun
}

const toNobodyError = ({ kind, text }: Question<unknown>): PerdureError =>
  new PerdureError(
    'NOBODY_TO_ASK',
    `This waits for a person (${kind}: ${text}), and an agent that is not durable has nobody to ask. Use \`runtime.durable(agent)\` and answer with \`run.answer\`.`,
    { details: { kind } },
  )
