import type { AnyActorRef, EventObject, NonReducibleUnknown, PromiseActorLogic, PromiseSnapshot } from 'xstate'

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
}

export interface StepContext {
  readonly signal: AbortSignal
  /** Names the step among all runs, the same over restarts: an idempotency key. */
  readonly key: string
  /** Counted from 1, over restarts. */
  readonly attempt: number
  /** Tells what happens meanwhile; observers see it, nothing records it. */
  readonly progress: (progress: unknown) => void
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
  ): void
}

const hosts = new WeakMap<AnyActorSystem, StepHost>()

/** Lets `host` record the steps of all actors of `system`. To be called before the root actor is started. */
export function provideSteps(system: AnyActorSystem, host: StepHost): void {
  hosts.set(system, host)
}

/** Executes steps and records nothing: what an actor system without a runtime has. */
export function createDirectHost(onProgress: (step: StepDescription, progress: unknown) => void = () => {}): StepHost {
  return {
    nameStep: ({ sessionId }) => sessionId,
    run(step, execute, settle, signal) {
      execute({ signal, key: step.key, attempt: 1, progress: (progress) => onProgress(step, progress) }).then(
        (value) => settle({ status: 'ok', value }),
        (error: unknown) => settle({ status: 'error', error }),
      )
    },
  }
}

const direct = createDirectHost()

type StepEvent<TOutput> =
  | { readonly type: 'perdure.settled'; readonly outcome: StepOutcome<TOutput> }
  | { readonly type: 'xstate.stop' }

/** The actor is a step in flight: its snapshot names its record, so that it finds it again after a restart. */
interface StepSnapshot {
  stepKey?: string
}

/** The key of the step whose persisted snapshot it is, while it is in flight. */
export function readStepKey(snapshot: unknown): string | undefined {
  const key = typeof snapshot === 'object' && snapshot !== null && 'stepKey' in snapshot ? snapshot.stepKey : undefined
  return typeof key === 'string' ? key : undefined
}

/** How a step is described to its host; without a key, the host names it. */
type Description = Omit<StepDescription, 'key'> & { readonly key?: string | undefined }

/**
 * Actor logic for a promise that is a step. Used like XState's `fromPromise`; `describe` names the step from its input.
 * A plain actor (no runtime) executes it at each start.
 */
export function toStepLogic<TOutput, TInput extends NonReducibleUnknown>(
  describe: (input: TInput, self: AnyActorRef) => Description,
  execute: (input: TInput, context: StepContext) => Promise<TOutput>,
): PromiseActorLogic<TOutput, TInput> {
  const controllers = new WeakMap<AnyActorRef, AbortController>()
  return {
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
      const host = hosts.get(system) ?? direct
      const described = describe(input, self)
      const own = snapshot as StepSnapshot // made above, or restored; nobody has seen it without its key
      const key = own.stepKey ?? described.key ?? host.nameStep(self)
      own.stepKey = key
      host.run({ ...described, key }, (context) => execute(input, context), settle, controller.signal)
    },
    getPersistedSnapshot: (snapshot) => snapshot,
    restoreSnapshot: (snapshot) => snapshot as PromiseSnapshot<TOutput, TInput>, // written by getPersistedSnapshot
  }
}

/** How `system` reaches other runs; `undefined` without a runtime. */
export function findMessenger(system: AnyActorSystem): StepHost['sendToRun'] | undefined {
  return hosts.get(system)?.sendToRun
}
