import type { AnyMachineSnapshot, AnyStateMachine } from 'xstate'
import { isPerdureError, PerdureError } from '../errors.ts'
import { eventKey, inboxRange } from '../persistence/keys.ts'
import { isBeingDeleted } from '../persistence/run-deletion.ts'
import { createRunLog, type Head, loadHead, openRunLog, type RunLog } from '../persistence/run-log.ts'
import { cancelConversations } from './child-cancel.ts'
import { type ActorRecord, loadSteps } from './durable-actor.ts'
import { toHash } from './fingerprint.ts'
import { createIdle, type IdlePolicy } from './idle.ts'
import { createInTurn } from './in-turn.ts'
import { tell } from './listener.ts'
import { createMachineActivation, gone, type MachineActivation } from './machine-activation.ts'
import { MACHINE, type MachineHead, readMachineHead } from './machine-head.ts'
import type { MachineRegistry } from './machine-registry.ts'
import { park, prepareRun } from './machine-resumption.ts'
import { readMessage } from './message.ts'
import { toRecordedError } from './recorded-error.ts'
import { restoreActor } from './restore.ts'
import { assertMachine, isOver, isUnwritable, toEnded, toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'
import { toAborted } from './turn.ts'
import type { Watchers } from './watchers.ts'
import { withdrawQuestions } from './withdrawal.ts'

const INPUT = 'machine/input'

/**
 * The runs of machines: which of them are in memory, and how they get there and leave again (virtual actors). One activation a run (P7): whatever reads or
 * writes the records of a run that is not in memory has its turn.
 */
export interface MachineRuns {
  /** Errors: `MACHINE_UNKNOWN`, `RUN_CONFLICT`, `RUN_ID_INVALID`, `VALUE_NOT_STORABLE`, `STORE_*`. */
  start(machine: AnyStateMachine | string, id: string, input: unknown): Promise<void>
  /** Errors: `RUN_NOT_FOUND`, `RUN_ENDED`, `RUN_INCOMPATIBLE`, `RUN_CONFLICT`, `RUN_CORRUPT`, `MACHINE_UNKNOWN`, `MIGRATION_FAILED`. */
  activate(id: string): Promise<MachineActivation>
  /** Calls `fn` with the run in memory, again if that was replaced meanwhile. Errors: those of {@link MachineRuns.activate}. */
  use<T>(id: string, fn: (activation: MachineActivation) => Promise<T>): Promise<T>
  /** Whether an event of that id was taken by the run, which may have ended. */
  hasTaken(id: string, eventId: string): Promise<boolean>
  /** Of a completed run. */
  readOutput(id: string): Promise<unknown>
  /** Removes it, whatever it is doing. False: there was none. */
  erase(id: string): Promise<boolean>
  /** The head and state of a run, as they are on disk; it need not be in memory. Errors: those of {@link MachineRuns.activate}. */
  read(id: string): Promise<{ readonly head: Head; readonly snapshot: AnyMachineSnapshot }>
  readHead(id: string): Promise<Head>
  cancel(id: string, reason: string | undefined): Promise<void>
  /** There are messages for it on disk. */
  takeMessages(id: string): Promise<void>
  /** Writes what happened up to now, and ends what is in flight as a crash would. */
  stop(): Promise<void>
}

export interface MachineRunsOptions {
  readonly services: Services
  readonly registry: MachineRegistry
  readonly watchers: Watchers
  readonly idle: IdlePolicy
  /** It is to leave memory and to be activated again at that time. False: it stays. */
  readonly onPassivated: (id: string, wakeAt: number | undefined) => boolean
  /** There are messages on disk for the run of a flow. */
  readonly takeFlowMessages: (id: string) => Promise<void>
  /** Removes the records of a run that is claimed. False: there was none. */
  readonly eraseRecords: (id: string) => Promise<boolean>
}

export function createMachineRuns(options: MachineRunsOptions): MachineRuns {
  const { services, registry, watchers, idle: policy, onPassivated, takeFlowMessages, eraseRecords } = options
  const { store, emit, now, closing } = services
  const inTurn = createInTurn()
  const inMemory = new Map<string, MachineActivation>()
  const releases = new Map<MachineActivation, () => void>()
  /** By run: an activation that has left memory, and whose last batch is still being written. */
  const leaving = new Map<string, Promise<void>>()
  const idle = createIdle(services.clock, policy, (activation: MachineActivation) => {
    if (!activation.isIdle || !onPassivated(activation.id, activation.wakeAt)) return false
    activation.stop()
    forget(activation)
    return true
  })

  const assertNotClosing = (): void => {
    if (closing.aborted) throw closing.reason
  }
  const forget = (activation: MachineActivation): void => {
    const { id } = activation
    if (inMemory.get(id) === activation) inMemory.delete(id)
    idle.remove(activation)
    const release = releases.get(activation)
    if (release === undefined) return
    releases.delete(activation)
    const left = activation.drained().then(() => {
      if (leaving.get(id) === left) leaving.delete(id)
      release()
    })
    leaving.set(id, left)
    void inTurn(id, () => left) // nobody reads its records before its last batch is written
  }
  const fail = (id: string, error: unknown): void => {
    for (const watcher of [...(watchers.of(id) ?? [])]) watcher.onError?.(error)
  }

  /** Ends a run that is not in memory. */
  const recordEnd = async (
    log: RunLog,
    change: { readonly status: 'failed' | 'cancelled'; readonly data: Partial<MachineHead> },
  ): Promise<void> => {
    const data: MachineHead = { ...readMachineHead(log.head), ...change.data }
    log.update({ status: change.status, endedAt: now(), wakeAt: undefined, data })
    await withdrawQuestions(services, log, toEnded(log.id))
    await log.commit()
    await services.files?.remove(log.id) // commands that outlived their process
    services.streams.end(log.id)
    const event = { runId: log.id, runCreatedAt: log.head.createdAt, name: log.head.name }
    if (change.status === 'failed') emit({ ...event, type: 'machine.failed', error: data.error })
    else emit({ ...event, type: 'machine.cancelled', reason: data.reason })
    for (const watcher of [...(watchers.of(log.id) ?? [])]) tell(watcher.onEnd, { head: log.head, snapshot: undefined })
    await dropRest(log.id)
  }
  /** What its machine came to by itself cannot be kept. */
  const recordFailure = (id: string, error: unknown): Promise<void> =>
    inTurn(id, async () => {
      if (inMemory.has(id)) return // it goes on, and will come to the same
      const log = await openRunLog(services, id)
      if (log !== undefined && log.head.endedAt === undefined)
        await recordEnd(log, { status: 'failed', data: { error: toRecordedError(error) } })
    })

  const owner = {
    onEnded(activation: MachineActivation): void {
      forget(activation)
      dropMessages(activation.id).catch(() => {}) // they are dropped at the next opening
    },
    onBroken(activation: MachineActivation, error: unknown, fromOutside: boolean): void {
      forget(activation)
      const { id } = activation
      const report = (failure: unknown): void => {
        if (closing.aborted) return
        emit({ type: 'run.blocked', runId: id, error: failure })
        // A store that does not write lets no run go on.
        if (isPerdureError(failure) && !failure.code.startsWith('STORE_')) fail(id, failure)
        else watchers.fail(failure)
      }
      if (!isUnwritable(error)) report(error)
      else (fromOutside ? activate(id) : recordFailure(id, error)).catch(report)
    },
  }

  const adopt = async (
    log: RunLog,
    machine: AnyStateMachine,
    origin: Parameters<typeof createMachineActivation>[4],
    release: () => void,
    start: (activation: MachineActivation) => Promise<void> | void,
  ): Promise<MachineActivation> => {
    assertNotClosing()
    const activation = createMachineActivation(services, watchers, log, machine, origin, owner)
    releases.set(activation, release)
    inMemory.set(log.id, activation)
    try {
      await start(activation)
    } catch (error) {
      activation.abandon()
      activation.stop()
      forget(activation)
      throw error
    }
    if (activation.state === 'broken') throw activation.failure
    if (activation.state === 'active') idle.add(activation)
    return activation
  }

  const readHead = async (id: string): Promise<Head> => {
    const head = await loadHead(store, id)
    if (head === undefined) throw toNotFound(id)
    assertMachine(head)
    return head
  }
  const openLog = async (id: string): Promise<RunLog> => {
    const log = await openRunLog(services, id)
    if (log === undefined) throw toNotFound(id)
    assertMachine(log.head)
    return log
  }

  const hasMessages = async (id: string): Promise<boolean> => {
    for await (const _ of store.entries({ ...inboxRange(id), limit: 1 })) return true
    return false
  }
  /** Takes the run for as long as `task` needs it, or for its activation. */
  const claimed = async <T>(id: string, task: (release: () => void) => Promise<T>): Promise<T> => {
    await leaving.get(id) // its turn may come after this one
    await services.claims.whenNotBrief(id)
    const release = services.claims.claim(id)
    try {
      return await task(release)
    } catch (error) {
      release()
      throw error
    }
  }

  const load = (id: string): Promise<MachineActivation> =>
    claimed(id, async (release) => {
      const log = await openLog(id)
      if (log.head.endedAt !== undefined) throw toEnded(id)
      const { machine, record, change } = await prepareRun(registry, log).catch(async (error: unknown) => {
        if (isPerdureError(error, 'RUN_INCOMPATIBLE')) await park(emit, log, error)
        throw error
      })
      await loadSteps(log, record.actor)
      const waiting = await hasMessages(id)
      if (change !== undefined) log.update({ status: 'running', data: change })
      if (log.head.dormant === true) log.update({ dormant: undefined })
      if (!registry.find(machine).recordInputs && log.head.taken !== undefined) log.update({ taken: undefined }) // it would have a gap
      return adopt(log, machine, { record }, release, (activation) => {
        activation.start()
        if (waiting) void activation.takeMessages()
      })
    })

  const activate = async (id: string): Promise<MachineActivation> => {
    const known = inMemory.get(id)
    const activation =
      known?.state === 'active'
        ? known
        : await inTurn(id, async () => {
            assertNotClosing()
            const current = inMemory.get(id)
            return current?.state === 'active' ? current : load(id)
          })
    idle.touch(activation)
    return activation
  }
  const use = async <T>(id: string, fn: (activation: MachineActivation) => Promise<T>): Promise<T> => {
    for (;;) {
      const known = inMemory.get(id)
      if (known !== undefined) idle.touch(known)
      const activation = known?.state === 'active' ? known : await activate(id)
      try {
        return await fn(activation)
      } catch (error) {
        if (error !== gone) throw error
        assertNotClosing()
        await undefined
      }
    }
  }

  /** What was sent to a run that takes nothing any more is told of once. To be called in the run's turn. */
  const dropRest = async (id: string): Promise<void> => {
    const head = await loadHead(store, id)
    if (inMemory.has(id) || (head?.kind === MACHINE && head.endedAt === undefined)) return // it was started meanwhile
    for await (const [key, bytes] of store.entries(inboxRange(id))) {
      const { from, event } = readMessage(key, bytes)
      await store.write([{ type: 'del', key }])
      emit({ type: 'message.dropped', runId: id, from, event })
    }
  }
  const dropMessages = (id: string): Promise<void> => inTurn(id, () => dropRest(id))

  const create = (machineOrId: AnyStateMachine | string, id: string, input: unknown, inputHash: string) =>
    claimed(id, async (release) => {
      const { machine, version, recordInputs } = registry.find(machineOrId)
      if (await isBeingDeleted(store, id)) await eraseRecords(id) // what is left of another run is not this one's
      const log = createRunLog(services, { id, kind: MACHINE, name: machine.id, data: { version, inputHash } })
      if (recordInputs) log.update({ taken: 0 })
      const time = now()
      const record = { kind: MACHINE, name: 'input', status: 'ok', attempt: 1, startedAt: time, endedAt: time } as const
      log.putStep(INPUT, { ...record, value: input })
      await adopt(log, machine, { input }, release, async (activation) => {
        emit({ type: 'machine.started', runId: id, runCreatedAt: log.head.createdAt, name: machine.id })
        activation.start()
        await activation.commit()
      })
    })

  return {
    async start(machineOrId, id, input) {
      const { machine } = registry.find(machineOrId)
      const inputHash = toHash(input)
      const conflict = (what: string): PerdureError =>
        new PerdureError('RUN_CONFLICT', `The run \`${id}\` ${what}. Choose another id.`, { details: { run: id } })
      await inTurn(id, async () => {
        assertNotClosing()
        const known = await loadHead(store, id)
        if (known === undefined) return create(machine, id, input, inputHash)
        assertMachine(known)
        if (known.name !== machine.id) throw conflict(`is of the machine \`${known.name}\``)
        if (readMachineHead(known).inputHash !== inputHash) throw conflict('was started with another input')
      })
    },
    activate,
    use,
    hasTaken: async (id, eventId) => (await store.get(eventKey(id, eventId))) !== undefined,
    erase(id) {
      const activation = inMemory.get(id)
      if (activation !== undefined) {
        activation.abandon()
        activation.stop()
        forget(activation)
      }
      return inTurn(id, async () => {
        const current = inMemory.get(id)
        if (current !== undefined) throw new PerdureError('RUN_CONFLICT', `The run \`${id}\` is being used. Delete it again.`)
        if (activation !== undefined) await services.agents.settled(id) // they are on their way out with it
        await leaving.get(id)
        const release = services.claims.claim(id)
        try {
          return await eraseRecords(id)
        } finally {
          release()
        }
      })
    },
    readHead,
    async readOutput(id) {
      const record = (await (await openRunLog(services, id))?.loadSnapshot()) as ActorRecord | undefined // see `prepareRun`
      return record?.actor.output
    },
    async read(id) {
      for (;;) {
        const activation = inMemory.get(id)
        if (activation?.state !== 'active') break
        try {
          const snapshot = await activation.snapshot()
          return { head: await readHead(id), snapshot }
        } catch (error) {
          if (error !== gone) throw error
          assertNotClosing()
        }
      }
      return inTurn(id, async () => {
        const current = inMemory.get(id)
        if (current?.state === 'active') return { snapshot: await current.snapshot(), head: await readHead(id) }
        const log = await openLog(id)
        const { machine, record } = await prepareRun(registry, log)
        return { head: log.head, snapshot: restoreActor(id, machine, record).getSnapshot() }
      })
    },
    async cancel(id, reason) {
      if (inMemory.has(id)) return use(id, (activation) => activation.cancel(reason))
      const isDone = await inTurn(id, async () => {
        if (inMemory.has(id)) return false
        await leaving.get(id)
        const log = await openLog(id)
        if (log.head.endedAt !== undefined) throw toEnded(id)
        const release = services.claims.claim(id)
        try {
          await cancelConversations(services, id, toAborted(`Run \`${id}\``, undefined))
          await recordEnd(log, { status: 'cancelled', data: reason === undefined ? {} : { reason } })
        } finally {
          release()
        }
        return true
      })
      if (!isDone) await use(id, (activation) => activation.cancel(reason))
    },
    async takeMessages(id) {
      const head = inMemory.has(id) ? undefined : await loadHead(store, id)
      // Before it is claimed: the flow may be about to be run.
      if (head?.kind === 'flow') return takeFlowMessages(id)
      if (head?.dormant === true) return // nobody has asked for it yet
      try {
        await use(id, (activation) => activation.takeMessages())
      } catch (error) {
        if (!isOver(error) && !isPerdureError(error, 'RUN_CONFLICT')) throw error
        await dropMessages(id)
      }
    },
    async stop() {
      idle.close()
      await inTurn.idle()
      await Promise.all(
        [...inMemory.values()].map(async (activation) => {
          await activation.commit().catch(() => {})
          activation.stop()
          forget(activation)
        }),
      )
      await inTurn.idle()
    },
  }
}
