import type {
  AnyMachineSnapshot,
  AnyStateMachine,
  EmittedFrom,
  EventFromLogic,
  OutputFrom,
  SnapshotFrom,
  StateValue,
  Subscription,
} from 'xstate'
import { isPerdureError, PerdureError } from '../errors.ts'
import { inboxRange } from '../persistence/keys.ts'
import { loadHead } from '../persistence/run-log.ts'
import { toStorable } from '../persistence/storable.ts'
import { type HandOutcome, parseHandOutcome, settleByHand } from './hand-settlement.ts'
import { tell } from './listener.ts'
import { MACHINE, readMachineHead } from './machine-head.ts'
import type { MachineRuns } from './machine-runs.ts'
import type { OtherRuns } from './other-runs.ts'
import { readRunSpend } from './run-spend.ts'
import type { Services } from './services.ts'
import type { Spend } from './spend.ts'
import { listSteps, type StepInfo } from './step-list.ts'
import { type StreamChunk, type StreamOptions, streamRun } from './stream.ts'
import type { RunEnd, Watcher, Watchers } from './watchers.ts'

/** How an event is sent. */
export interface SendOptions {
  /** Names the event: one that was taken before is not taken again, so that a sender who does not know whether it arrived can send it once more. */
  readonly id?: string | undefined
}

/** How long is waited. */
export interface WaitOptions {
  /** Gives up with `WAIT_TIMEOUT`. Default: waits for ever. */
  readonly timeoutMs?: number | undefined
  /** Gives up with `ABORTED`. Waiting does not keep the process: that of `AbortSignal.timeout` does not either, `timeoutMs` does. */
  readonly signal?: AbortSignal | undefined
}

/** A state (as `snapshot.matches` takes it), a state or tag by name, or any condition. */
export type WaitCondition<TSnapshot> = string | StateValue | ((snapshot: TSnapshot) => boolean)

/**
 * One durable instance of a machine. A handle: it does not keep the run in memory, and any number of them are the same run.
 * What it resolves with and what its listeners hear is on disk.
 */
export interface Run<TMachine extends AnyStateMachine = AnyStateMachine> {
  readonly id: string
  /**
   * Hands the machine an event. When it resolves, the event and what it led to are on disk. An event that no state accepts is consumed, as in XState. If
   * the process dies before, the event may or may not have been taken: send it again with the same `id`.
   *
   * Errors: `RUN_NOT_FOUND`, `RUN_ENDED`, `RUN_INCOMPATIBLE`, `MACHINE_UNKNOWN`, `VALUE_NOT_STORABLE` (the event, or what the machine made of it: then it
   * is as if it had not been sent), `RUN_CORRUPT`, `STORE_*`.
   */
  send(event: EventFromLogic<TMachine>, options?: SendOptions): Promise<void>
  /**
   * The state as it is on disk, also of a run that has ended. Errors: `RUN_NOT_FOUND`, `RUN_INCOMPATIBLE`, `MACHINE_UNKNOWN`, `MIGRATION_FAILED`,
   * `RUN_CORRUPT`.
   */
  snapshot(): Promise<SnapshotFrom<TMachine>>
  /**
   * Resolves with the first snapshot, from now on or now, that meets the condition. Errors: `WAIT_TIMEOUT`, `ABORTED`, `RUN_ENDED` when the run comes to
   * its end without.
   */
  waitFor(condition: WaitCondition<SnapshotFrom<TMachine>>, options?: WaitOptions): Promise<SnapshotFrom<TMachine>>
  /** Resolves with the machine's output when it is done. Errors: what the machine failed with, `RUN_CANCELLED`. */
  done(options?: WaitOptions): Promise<OutputFrom<TMachine>>
  /** Hears each snapshot from now on. */
  subscribe(listener: (snapshot: SnapshotFrom<TMachine>) => void): Subscription
  /** Hears the events that the machine emits from now on; `*` hears all. */
  on<TType extends EmittedFrom<TMachine>['type'] | '*'>(
    type: TType,
    handler: (event: TType extends '*' ? EmittedFrom<TMachine> : Extract<EmittedFrom<TMachine>, { type: TType }>) => void,
  ): Subscription
  /**
   * Ends the run: what is in flight is aborted (the stream of a model, the processes of a command), its state is kept as it is, and what had settled is recorded.
   * On disk when it resolves. Errors: as {@link Run.send}.
   */
  cancel(reason?: string): Promise<void>
  /**
   * Answers what waits for a person: `id` is that of `runtime.pending()`. The run need not be in memory; it takes the answer when it goes on. On disk when it resolves.
   *
   * - An approval: `true`, `false`, or `{ approved, arguments?, reason? }`.
   * - A question: what its schema says.
   * - A step in doubt: `{ result }`, `{ error }` or `{ retry: true }`.
   * - A limit: `{ extend: { tokens: 50_000 } }` or `{ stop: true }`.
   *
   * Errors: `STEP_UNKNOWN` (there is no such question, or nobody needs the answer any more), `STEP_SETTLED` (it has been answered; `details.isSame` tells whether
   * with the same), `ANSWER_INVALID` (it does not fit: the run goes on waiting), `RUN_NOT_FOUND`, `VALUE_NOT_STORABLE`, `STORE_*`.
   */
  answer(id: string, value: unknown): Promise<void>
  /**
   * What the models of the run and of the runs within it (`<id>/…`) write, and its steps tell, as it comes: for any number of subscribers, also ones that come late. With
   * the `offset` of the last chunk that was taken it goes on after that one, over crashes: no token comes twice, and what was given of an attempt that is made again is said
   * to be void (`discarded`). Reading does not load the run.
   *
   * Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`, `ABORTED` by its signal, `STORE_CLOSED` when the runtime closes; a `TypeError` for an offset that is none.
   */
  stream(options?: StreamOptions): AsyncIterable<StreamChunk>
  /**
   * What the calls of the run have cost in all, whenever they were paid, as it is on disk: with the turns of a flow, and with the agents that work for a call as soon as
   * that has settled. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`.
   */
  spend(): Promise<Spend>
  /** The steps of the run by key, as its journal has them: each happened, did not happen, or is in doubt. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
  steps(): AsyncIterable<StepInfo>
  /**
   * Says what a step in doubt came to: what it returned, or what it failed with. The run takes it when it goes on; it must not be executing the step. On disk when it
   * resolves. Errors: `STEP_UNKNOWN`, `STEP_SETTLED`, `RUN_NOT_FOUND`, `RUN_CONFLICT` (it is in memory: open the runtime with `autoResume: false`).
   */
  settle(key: string, outcome: HandOutcome): Promise<void>
}

export interface RunRoom {
  readonly services: Services
  readonly runs: MachineRuns
  readonly watchers: Watchers
  /** The runs of flows and agents. */
  readonly others: OtherRuns
  readonly assertOpen: () => void
}

export function toRun<TMachine extends AnyStateMachine>(
  { services, runs, watchers, others, assertOpen }: RunRoom,
  id: string,
): Run<TMachine> {
  /** Settles as `check` or the watcher says, whichever comes first. The watcher is there before `check` looks: nothing falls in between. */
  const wait = async <T>(
    what: string,
    { timeoutMs, signal }: WaitOptions,
    watch: (settle: PromiseWithResolvers<T>) => Watcher,
    check: (settle: PromiseWithResolvers<T>) => Promise<void>,
  ): Promise<T> => {
    assertOpen()
    assertTimeout(timeoutMs)
    const settle = Promise.withResolvers<T>()
    const onAbort = (): void =>
      settle.reject(
        new PerdureError('ABORTED', `Waiting for ${what} of run \`${id}\` was aborted. The run goes on.`, {
          cause: signal?.reason,
        }),
      )
    if (signal?.aborted) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    const remove = watchers.add(id, { onError: settle.reject, ...watch(settle) })
    const late = (): void =>
      settle.reject(
        new PerdureError('WAIT_TIMEOUT', `Run \`${id}\` did not come to ${what} within ${timeoutMs} ms. The run goes on.`, {
          details: { run: id, timeoutMs },
        }),
      )
    const timer = timeoutMs === undefined ? undefined : services.timers.set(services.timers.now() + timeoutMs, late)
    check(settle).catch(settle.reject)
    try {
      return await settle.promise
    } finally {
      remove()
      if (timer !== undefined) services.timers.clear(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Whether it failed because the run is not that of a machine. */
  const isOther = async (error: unknown): Promise<boolean> =>
    isPerdureError(error, 'RUN_CONFLICT') && (await loadHead(services.store, id))?.kind !== MACHINE
  /** Sees to it that a run which has something to do does it. */
  const setGoing = async (wakeAt: number | undefined): Promise<void> => {
    if (wakeAt !== undefined || (await hasMessages())) await runs.activate(id)
  }
  const hasMessages = async (): Promise<boolean> => {
    for await (const _ of services.store.entries({ ...inboxRange(id), limit: 1 })) return true
    return false
  }

  return {
    id,
    async send(event, sendOptions = {}) {
      assertOpen()
      if (typeof sendOptions !== 'object' || sendOptions === null)
        throw new TypeError(
          `Expected the options of \`send\` to be an object such as \`{ id }\`, got \`${String(sendOptions)}\` (${typeof sendOptions})`,
        )
      const { id: eventId } = sendOptions
      assertEvent(event)
      if (eventId !== undefined && (typeof eventId !== 'string' || eventId === ''))
        throw new TypeError(
          `Expected \`id\` of an event to be a non-empty string, got \`${String(eventId)}\` (${typeof eventId})`,
        )
      if (others.isFlowRunning(id)) return others.send(id, event, eventId)
      try {
        await runs.use(id, (activation) => activation.deliver(event, eventId))
      } catch (error) {
        if (await isOther(error)) return others.send(id, event, eventId)
        // It may be the very event that ended the run, sent once more.
        if (eventId === undefined || !isPerdureError(error, 'RUN_ENDED') || !(await runs.hasTaken(id, eventId))) throw error
      }
    },
    async snapshot() {
      assertOpen()
      return (await runs.read(id)).snapshot as SnapshotFrom<TMachine> // of the machine that the run is of
    },
    waitFor(condition, options = {}) {
      const meets = toPredicate(condition as WaitCondition<AnyMachineSnapshot>) // the same predicate, of a narrower snapshot
      const what = typeof condition === 'function' ? 'what was waited for' : `\`${JSON.stringify(condition)}\``
      return wait<SnapshotFrom<TMachine>>(
        what,
        options,
        ({ resolve, reject }) => {
          const test = (snapshot: AnyMachineSnapshot | undefined): boolean => {
            try {
              if (snapshot === undefined || !meets(snapshot)) return false
              resolve(snapshot as SnapshotFrom<TMachine>) // see above
            } catch (error) {
              reject(error)
            }
            return true
          }
          return {
            onSnapshot: test,
            onEnd({ snapshot }) {
              if (!test(snapshot)) reject(toEndedWithout(id, what))
            },
          }
        },
        async ({ resolve, reject }) => {
          const { head, snapshot } = await runs.read(id).catch(async (error: unknown) => {
            // Of a run that has ended on a machine that was changed since, the state need not be readable.
            if ((await runs.readHead(id)).endedAt !== undefined) throw toEndedWithout(id, what)
            throw error
          })
          if (meets(snapshot)) resolve(snapshot as SnapshotFrom<TMachine>)
          else if (head.endedAt !== undefined) reject(toEndedWithout(id, what))
          else await setGoing(head.wakeAt)
        },
      )
    },
    done(options = {}) {
      const settleBy = ({ resolve, reject }: PromiseWithResolvers<OutputFrom<TMachine>>, { head, snapshot }: RunEnd): void => {
        if (head.status === 'completed') resolve(snapshot?.output)
        else reject(toFailure(head))
      }
      return wait<OutputFrom<TMachine>>(
        'its end',
        options,
        (settle) => ({ onEnd: (end) => settleBy(settle, end) }),
        async (settle) => {
          const head = await runs.readHead(id)
          if (head.status === 'completed')
            settle.resolve((await runs.readOutput(id)) as OutputFrom<TMachine>) // of the machine that the run is of
          else if (head.endedAt !== undefined) settleBy(settle, { head, snapshot: undefined })
          else if (head.status === 'incompatible') await runs.activate(id)
          else await setGoing(head.wakeAt)
        },
      )
    },
    subscribe(listener) {
      assertOpen()
      assertFunction('listener', listener)
      const unsubscribe = watchers.add(id, { onSnapshot: (snapshot) => tell(listener, snapshot as SnapshotFrom<TMachine>) }) // of its machine
      return { unsubscribe }
    },
    on(type, handler) {
      assertOpen()
      assertFunction('handler', handler)
      const unsubscribe = watchers.add(id, {
        onEmitted(event) {
          if (type === '*' || event.type === type) tell(handler as (emitted: typeof event) => void, event) // of that type
        },
      })
      return { unsubscribe }
    },
    async cancel(reason) {
      assertOpen()
      if (reason !== undefined && typeof reason !== 'string')
        throw new TypeError(`Expected \`reason\` to be a string, got \`${String(reason)}\` (${typeof reason})`)
      try {
        await runs.cancel(id, reason)
      } catch (error) {
        if (!(await isOther(error))) throw error
        await others.cancel(id, reason)
      }
    },
    async answer(question, value) {
      assertOpen()
      assertText('id', question)
      await services.questions.answer(id, question, value)
    },
    stream(options) {
      assertOpen()
      return streamRun(services, id, options)
    },
    async spend() {
      assertOpen()
      return readRunSpend(services.store, id)
    },
    steps() {
      assertOpen()
      return listSteps(services, id)
    },
    async settle(key, outcome) {
      assertOpen()
      assertText('key', key)
      await settleByHand(services, id, key, parseHandOutcome(outcome))
    },
  }
}

function toPredicate(condition: WaitCondition<AnyMachineSnapshot>): (snapshot: AnyMachineSnapshot) => boolean {
  if (typeof condition === 'function') return condition
  if (typeof condition === 'string') return (snapshot) => snapshot.matches(condition) || snapshot.hasTag(condition)
  if (typeof condition === 'object' && condition !== null) return (snapshot) => snapshot.matches(condition)
  throw new TypeError(
    `Expected a condition to be a state, a tag or a function, got \`${String(condition)}\` (${typeof condition})`,
  )
}

function assertText(name: string, value: unknown): void {
  if (typeof value !== 'string' || value === '')
    throw new TypeError(`Expected \`${name}\` to be a non-empty string, got \`${String(value)}\` (${typeof value})`)
}

function assertFunction(name: string, value: unknown): void {
  if (typeof value !== 'function')
    throw new TypeError(`Expected \`${name}\` to be a function, got \`${String(value)}\` (${typeof value})`)
}

function assertEvent(event: unknown): asserts event is object {
  const type = typeof event === 'object' && event !== null && 'type' in event ? event.type : undefined
  if (typeof type !== 'string' || typeof event !== 'object' || event === null)
    throw new TypeError(
      typeof event === 'object' && event !== null
        ? `Expected an event to have a \`type\` that is a string, got \`${String(type)}\` (${typeof type})`
        : `Expected an event to be an object with a \`type\`, got \`${String(event)}\` (${typeof event})`,
    )
  if (Object.keys(event).length > 1) toStorable(event) // what cannot be kept never reaches the machine
}

function assertTimeout(timeoutMs: unknown): void {
  if (timeoutMs === undefined || (typeof timeoutMs === 'number' && timeoutMs >= 0)) return
  throw new TypeError(`Expected \`timeoutMs\` to be a number ≥ 0, got \`${String(timeoutMs)}\` (${typeof timeoutMs})`)
}

function toEndedWithout(run: string, what: string): PerdureError {
  return new PerdureError('RUN_ENDED', `Run \`${run}\` came to its end without coming to ${what}.`, { details: { run } })
}

function toFailure(head: RunEnd['head']): unknown {
  const { error, reason } = readMachineHead(head)
  if (head.status === 'failed') return error
  const because = reason === undefined ? '' : `: ${reason}`
  return new PerdureError('RUN_CANCELLED', `Run \`${head.id}\` was cancelled${because}.`, { details: { run: head.id, reason } })
}
