import { AsyncLocalStorage } from 'node:async_hooks'
import { isAbsolute } from 'node:path'
import type { AnyStateMachine } from 'xstate'
import { assertLimits } from '../actors/profile.ts'
import { PerdureError } from '../errors.ts'
import type { Endpoint } from '../management/endpoint.ts'
import type { Reporter } from '../observe/reporter.ts'
import { createCommitter } from '../persistence/commit.ts'
import { assertRunId } from '../persistence/keys.ts'
import type { Redact } from '../persistence/redaction.ts'
import type { RetentionPolicy } from '../persistence/retention.ts'
import type { Store } from '../persistence/store.ts'
import type { Agent } from './agent.ts'
import { createChildAgents } from './child-agent.ts'
import { createClaims, publishClaims } from './claims.ts'
import type { Clock } from './clock.ts'
import type { DurableAgent, DurableOptions } from './durable-agent.ts'
import { createEffects } from './effects.ts'
import type { EventListener } from './events.ts'
import { toHash } from './fingerprint.ts'
import type { Flow, FlowFunction, FlowScope } from './flow.ts'
import type { FlowRequest } from './flow-run.ts'
import { createFlowRuns } from './flow-runs.ts'
import { forkConversation } from './fork.ts'
import type { ForkOptions } from './fork-options.ts'
import { createHousekeeping } from './housekeeping.ts'
import { createIdle, type IdlePolicy } from './idle.ts'
import { createInspection, type InspectionObserver } from './inspection.ts'
import { tell, unheard } from './listener.ts'
import { createMachineRegistry, type MachineEntry } from './machine-registry.ts'
import { createMachines, type StartOptions } from './machines.ts'
import { createOtherRuns } from './other-runs.ts'
import { listPending, type Pending, type PendingFilter } from './pending.ts'
import { createQuestions } from './questions.ts'
import { toRedactedEvent } from './redacted-event.ts'
import type { Run } from './run.ts'
import { createRunFiles } from './run-files.ts'
import { listRuns, type RunFilter, type RunInfo } from './run-list.ts'
import type { Services } from './services.ts'
import { type OpenSession, openSession, toSession } from './session.ts'
import { createStreams } from './stream-hooks.ts'
import { createTimerQueue } from './timer-queue.ts'
import type { AnyTurnOptions, TurnResult } from './turn.ts'
import { readTurn, toTurnFunction } from './turn-output.ts'

/** An open store and the runs that live in it. One process at a time has a store open. */
export interface Runtime extends AsyncDisposable {
  readonly directory: string
  /** Makes an agent durable: the same `run`, and its turns survive the process. */
  durable<Output>(agent: Agent<Output>, options?: DurableOptions): DurableAgent<Output>
  /**
   * Names an ordinary async function, so that its runs are found again. Errors: `FLOW_DUPLICATE` when the name is taken.
   */
  flow<TInput, TOutput>(name: string, fn: FlowFunction<TInput, TOutput>): Flow<TInput, TOutput>
  /**
   * Starts a run of a machine, which must be one of `machines`. When it resolves, the run is on disk. An id that there is: with the same input it is
   * that run; with another, `RUN_CONFLICT`. Errors: `MACHINE_UNKNOWN`, `RUN_CONFLICT`, `RUN_ID_INVALID`, `VALUE_NOT_STORABLE`, `STORE_*`.
   */
  start<TMachine extends AnyStateMachine>(machine: TMachine | string, options?: StartOptions<TMachine>): Promise<Run<TMachine>>
  /** A handle of the run of that id. Whether there is one shows when it is asked. Errors: `RUN_ID_INVALID`. */
  get<TMachine extends AnyStateMachine = AnyStateMachine>(id: string): Run<TMachine>
  /** The runs of the store, without loading them: a page at a time is in memory. */
  runs(filter?: RunFilter): AsyncIterable<RunInfo>
  /**
   * Everything that waits for a person, over all runs, whether or not they are in memory: approvals, questions, steps in doubt, limits. `run.answer(id, …)` answers it.
   * By run, then by id. Errors: `RUN_CORRUPT`.
   */
  pending(filter?: PendingFilter): AsyncIterable<Pending>
  /**
   * Activates the runs of machines that have work: messages, steps that were in flight, deadlines that have come; and from then on those that get some.
   * Resolves when the first are in memory. Opening does it, unless `autoResume` is false.
   *
   * With an id, brings the run of a machine into memory, whatever it waits for. Errors then: `RUN_NOT_FOUND`, `RUN_ENDED`, `RUN_INCOMPATIBLE`, `MACHINE_UNKNOWN`,
   * `MIGRATION_FAILED`, `RUN_CORRUPT`, `RUN_CONFLICT` (of a flow or agent: it goes on when it is run again).
   */
  resume(id?: string): Promise<void>
  /**
   * Removes all records of a run, and of a flow those of its conversations; a machine's run is stopped first. False: there was none. Nothing of it is on disk
   * when it resolves. A run that is started under the same id later has the same idempotency keys: take another id where that matters. Errors:
   * `RUN_CONFLICT` while a flow or session of that id is in use.
   */
  delete(id: string): Promise<boolean>
  /**
   * Forks the conversation of an agent: a new run that begins with what came before the turn or the call `at`, with another prompt, system prompt, model, result, … from there on.
   * What lies before is not copied, however long it is, and nothing of the origin is changed: it may go on, and be deleted. The fork is a session of the agent, whatever its origin
   * belonged to: `durable(agent).session(…)` with what is behind `<agent>/` in its id goes on with it, and its `resume()` takes up the turn at which it was forked. Calls that had
   * settled before that point are not made again; others are. Its cost, its limits for the run and its idempotency keys are its own. On disk when it resolves.
   *
   * Errors: `FORK_IMPOSSIBLE` (no conversation, or no such turn or call: says what there is), `RUN_NOT_FOUND`, `RUN_CONFLICT` (the id is taken), `RUN_ID_INVALID`,
   * `ANSWER_INVALID`, `VALUE_NOT_STORABLE`, `RUN_CORRUPT`, `STORE_*`; a `TypeError` for options that are none.
   */
  fork(id: string, options: ForkOptions): Promise<Run>
  /** Tells XState's inspection events of all active runs from now on. The actors' ids are the same in every process: `<run>/<child>`. */
  inspect(observer: InspectionObserver): { unsubscribe(): void }
  /** Hears every event from now on. A listener that throws does not disturb the run: its error becomes an `uncaughtException`. */
  subscribe(listener: EventListener): { unsubscribe(): void }
  /**
   * Ends what is in flight as a crash would, writes what had settled, and lets go of the store. Safe to call twice. `signal` gives up waiting for it
   * with `ABORTED`; closing goes on.
   */
  close(options?: { readonly signal?: AbortSignal }): Promise<void>
}

/** What {@link createRuntime} puts together. */
export interface RuntimeParts {
  readonly store: Store
  readonly redact?: Redact | undefined
  readonly durability: 'disk' | 'process'
  readonly clock: Clock
  readonly machines: readonly MachineEntry[]
  readonly autoResume: boolean
  readonly resumeConcurrency: number
  readonly idle: IdlePolicy
  readonly retention: RetentionPolicy | undefined
  readonly inspect: InspectionObserver | undefined
  /** Where the names of its flows are put. Default: where nobody else sees them. */
  readonly flows?: Set<string> | undefined
  /** Where other processes reach it; closed with it. Default: nowhere. */
  readonly endpoint?: Endpoint | undefined
  /** Hears every event, and is closed with the runtime. */
  readonly reporter: Reporter
  readonly onEvent: EventListener | undefined
}

export function createRuntime({ store, redact, durability, clock, reporter, onEvent, ...parts }: RuntimeParts): Runtime {
  const registry = createMachineRegistry(parts.machines)
  const inspection = createInspection()
  if (parts.inspect !== undefined) inspection.observe(parts.inspect)
  const timers = createTimerQueue(clock)
  const now = (): number => clock.now()
  let messages = 0
  const log: EventListener = redact === undefined ? reporter : (event) => reporter(toRedactedEvent(event, redact))
  const listeners = new Set<EventListener>(onEvent === undefined ? [log] : [log, onEvent])
  const closing = new AbortController()
  const scopes = new AsyncLocalStorage<FlowScope>()
  const { flows = new Set(), endpoint } = parts
  const flowRuns = createFlowRuns(() => services, scopes)
  const sessions = new Map<string, OpenSession>()
  let closed: Promise<void> | undefined

  const services: Services = {
    store,
    committer: createCommitter(store, { sync: durability === 'disk' }),
    redact,
    effects: createEffects(),
    questions: createQuestions({
      services: () => services,
      activate: (id) => machines.activate(id),
      passivate: (id) => sessions.get(id)?.passivate(),
    }),
    streams: createStreams(),
    running: new Set(),
    turns: new Map(),
    agents: createChildAgents(() => services),
    files: isAbsolute(store.location) ? createRunFiles(store.location) : undefined, // a store in memory has no folder
    claims: createClaims(() => services.questions.onReleased()),
    within: new AsyncLocalStorage(),
    clock,
    now,
    timers,
    inspection,
    nextMessage: () => `${pad(store.epoch)}.${pad(messages++)}`,
    onMessages: (runs) => machines.takeMessages(runs),
    closing: closing.signal,
    emit(event) {
      const complete = { ...event, time: now() }
      for (const listener of listeners) tell(listener, complete)
    },
  }

  const assertOpen = (): void => {
    if (closed !== undefined)
      throw new PerdureError(
        'STORE_CLOSED',
        `The runtime of \`${store.location}\` is closed. Open it again with \`openRuntime\`.`,
      )
  }

  const retention = createHousekeeping(services, parts.retention)
  const others = createOtherRuns({
    services,
    isFlowRunning: flowRuns.isRunning,
    sendToFlow: flowRuns.send,
    cancelFlow: flowRuns.cancel,
  })
  const machines = createMachines({
    services,
    registry,
    assertOpen,
    erase: retention.erase,
    others,
    takeFlowMessages: flowRuns.takeMessages,
    ...parts,
  })

  const idleSessions = createIdle(clock, parts.idle, (session: OpenSession) => session.passivate())
  const findSession = (name: string, id: string): OpenSession & { readonly runId: string } => {
    assertRunId(id)
    const runId = `${name}/${id}`
    assertRunId(runId)
    let session = sessions.get(runId)
    if (session === undefined) {
      session = openSession(services, runId, name, idleSessions.add)
      sessions.set(runId, session)
    }
    return { ...session, runId }
  }

  const runtime: Runtime = {
    directory: store.location,

    durable<Output>(agent: Agent<Output>, { checkpoint: strategy = 'calls' }: DurableOptions = {}): DurableAgent<Output> {
      if (strategy !== 'calls' && strategy !== 'turn')
        throw new TypeError(`Expected \`checkpoint\` to be 'calls' or 'turn', got \`${String(strategy)}\` (${typeof strategy})`)
      const { profile } = agent
      const session: DurableAgent<Output>['session'] = (id) => {
        assertOpen()
        const open = findSession(profile.name, id)
        return toSession(services, open, open.runId, agent, strategy, session)
      }
      return {
        profile,
        session,
        run: toTurnFunction((prompt, turnOptions: AnyTurnOptions = {}) => {
          const scope = scopes.getStore()
          const run = async (): Promise<TurnResult> => {
            assertOpen()
            return scope === undefined
              ? findSession(profile.name, 'main').run(agent, strategy, prompt, turnOptions)
              : scope.runTurn(agent, strategy, prompt, turnOptions)
          }
          const turn = readTurn(profile, turnOptions, run())
          return scope === undefined ? turn : unheard(turn)
        }),
      }
    },

    flow<TInput, TOutput>(name: string, fn: FlowFunction<TInput, TOutput>): Flow<TInput, TOutput> {
      if (typeof fn !== 'function') throw new TypeError(`Expected \`fn\` of flow \`${name}\` to be a function, got ${typeof fn}`)
      assertRunId(name)
      if (flows.has(name))
        throw new PerdureError(
          'FLOW_DUPLICATE',
          `There is a flow \`${name}\` already. A flow is found again by its name: choose another.`,
        )
      flows.add(name)
      return {
        name,
        async run(input, flowOptions = {}) {
          assertOpen()
          const inputHash = toHash(input, store.hashKey)
          const id = flowOptions.id ?? `${name}/${inputHash}`
          assertRunId(id)
          assertLimits(flowOptions.limits)
          const request: FlowRequest<TInput, TOutput> = { id, name, input, inputHash, fn, options: flowOptions }
          return flowRuns.run(request)
        },
      }
    },

    start: (machine, startOptions = {}) => machines.start(machine, startOptions),
    get: (id) => machines.get(id),
    runs(filter = {}) {
      assertOpen()
      return listRuns(store, filter)
    },
    pending(filter = {}) {
      assertOpen()
      return listPending(store, filter)
    },
    async resume(id) {
      if (id === undefined) return machines.resume()
      assertOpen()
      assertRunId(id)
      await machines.activate(id)
    },
    delete: (id) => machines.delete(id),
    async fork(id, options) {
      assertOpen()
      return machines.get(await forkConversation(services, id, options))
    },
    inspect: (observer) => inspection.observe(observer),

    subscribe(listener) {
      listeners.add(listener)
      return { unsubscribe: () => void listeners.delete(listener) }
    },

    async close({ signal } = {}) {
      closed ??= (async () => {
        const error = new PerdureError('STORE_CLOSED', `The runtime of \`${store.location}\` was closed.`)
        closing.abort(error)
        const unreachable = endpoint?.close()
        idleSessions.close()
        await machines.stop(error)
        await Promise.all([...sessions.values()].map((session) => session.stop()))
        await flowRuns.settled()
        await services.agents.settled()
        await retention.close()
        await services.committer.idle()
        timers.close()
        inspection.close()
        await unreachable // whoever opens the store next listens at the same place
        await store.close()
      })().finally(() => reporter.close())
      await untilAborted(closed, signal, store.location)
    },

    async [Symbol.asyncDispose]() {
      await this.close()
    },
  }
  publishClaims(runtime, services.claims)
  return runtime
}

/** Of one length, so that the order of the texts is that of the numbers. */
const pad = (number: number): string => String(number).padStart(16, '0')

/** Settles as `closing` does, or fails once `signal` aborts. */
async function untilAborted(closing: Promise<void>, signal: AbortSignal | undefined, location: string): Promise<void> {
  if (signal === undefined) return closing
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void =>
    aborted.reject(
      new PerdureError('ABORTED', `Waiting for the runtime of \`${location}\` to close was aborted. It goes on closing.`, {
        cause: signal.reason,
      }),
    )
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([closing, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
