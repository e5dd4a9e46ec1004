import type { AnyMachineSnapshot, AnyStateMachine } from 'xstate'
import { isPerdureError, PerdureError } from '../errors.ts'
import { inboxRange } from '../persistence/keys.ts'
import { createRunLog, type Head, loadHead, openRunLog, type RunLog } from '../persistence/run-log.ts'
import { type ActorRecord, loadSteps } from './durable-actor.ts'
import { toHash } from './fingerprint.ts'
import { createIdle, type IdlePolicy } from './idle.ts'
import { createMachineActivation, type MachineActivation, toEnded } from './machine-activation.ts'
import { MACHINE, type MachineHead, readMachineHead } from './machine-head.ts'
import { type MachineRegistry, planActivation } from './machine-registry.ts'
import { readMessage } from './message.ts'
import { toRecordedError } from './recorded-error.ts'
import { restoreActor } from './restore.ts'
import type { Services } from './services.ts'
import type { Watchers } from './watchers.ts'

const INPUT = 'machine/input'

/** The runs of machines: which of them are in memory, and how they get there and leave again (virtual actors). One activation a run (P7). */
export interface MachineRuns {
  /** Errors: `MACHINE_UNKNOWN`, `RUN_CONFLICT`, `RUN_ID_INVALID`, `VALUE_NOT_STORABLE`, `STORE_*`. */
  start(machine: AnyStateMachine | string, id: string, input: unknown): Promise<void>
  /** Errors: `RUN_NOT_FOUND`, `RUN_ENDED`, `RUN_INCOMPATIBLE`, `RUN_CONFLICT`, `RUN_CORRUPT`, `MACHINE_UNKNOWN`, `MIGRATION_FAILED`. */
  activate(id: string): Promise<MachineActivation>
  /** Calls `fn` with the run in memory; it is not passivated in between. Errors: those of {@link MachineRuns.activate}. */
  use<T>(id: string, fn: (activation: MachineActivation) => Promise<T>): Promise<T>
  /** The run, if it is in memory and takes events. */
  peek(id: string): MachineActivation | undefined
  /** Of a completed run. */
  readOutput(id: string): Promise<unknown>
  /** Drops it from memory, whatever it is doing. */
  evict(id: string): Promise<void>
  /** The head and state of a run that need not be in memory, as they are on disk. Errors: those of {@link MachineRuns.activate}. */
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
  /** It left memory and is to be activated again at that time. */
  readonly onPassivated: (id: string, wakeAt: number | undefined) => boolean
}

export function createMachineRuns({ services, registry, watchers, idle: policy, onPassivated }: MachineRunsOptions): MachineRuns {
  const { store, emit, now } = services
  const active = new Map<string, Promise<MachineActivation>>()
  /** Those of `active` that are there already. */
  const inMemory = new Map<string, MachineActivation>()
  const releases = new Map<MachineActivation, () => void>()
  const dropping = new Map<string, Promise<void>>()
  const idle = createIdle(services.clock, policy, (activation: MachineActivation) => {
    if (!activation.isIdle || !onPassivated(activation.id, activation.wakeAt)) return false
    activation.stop()
    forget(activation)
    return true
  })

  const forget = (activation: MachineActivation): void => {
    active.delete(activation.id)
    inMemory.delete(activation.id)
    idle.remove(activation)
    services.inspection.untrack(activation.id)
    releases.get(activation)?.()
    releases.delete(activation)
  }
  const fail = (id: string, error: unknown): void => {
    for (const watcher of [...(watchers.of(id) ?? [])]) watcher.onError?.(error)
  }

  /** Records that a run cannot go on: what its machine came to by itself cannot be kept. */
  const recordFailure = async (id: string, error: unknown): Promise<void> => {
    const log = await openRunLog(services, id)
    if (log === undefined) return
    const data: MachineHead = { ...readMachineHead(log.head), error: toRecordedError(error) }
    log.update({ status: 'failed', endedAt: now(), wakeAt: undefined, data })
    await log.commit()
    emit({ type: 'machine.failed', runId: id, name: log.head.name, error })
    for (const watcher of [...(watchers.of(id) ?? [])]) watcher.onEnd?.({ head: log.head, snapshot: undefined })
  }

  const owner = {
    onEnded(activation: MachineActivation): void {
      forget(activation)
      dropMessages(activation.id).catch(() => {}) // they are dropped at the next opening
    },
    onBroken(activation: MachineActivation, error: unknown, fromOutside: boolean): void {
      forget(activation)
      const { id } = activation
      const isRefused = isPerdureError(error, 'VALUE_NOT_STORABLE')
      const next = !isRefused ? Promise.reject(error) : fromOutside ? activate(id) : recordFailure(id, error)
      next.catch((failure: unknown) => {
        if (!services.closing.aborted) emit({ type: 'run.blocked', runId: id, error: failure })
        fail(id, failure)
      })
    },
  }

  const adopt = (
    log: RunLog,
    machine: AnyStateMachine,
    origin: Parameters<typeof createMachineActivation>[4],
    release: () => void,
  ): MachineActivation => {
    const activation = createMachineActivation(services, watchers, log, machine, origin, owner)
    releases.set(activation, release)
    return activation
  }

  const assertMachine = (head: Head): void => {
    if (head.kind === MACHINE) return
    throw new PerdureError(
      'RUN_CONFLICT',
      `The run \`${head.id}\` is the ${head.kind} \`${head.name}\`, not the run of a machine.`,
      {
        details: { run: head.id },
      },
    )
  }
  const readHead = async (id: string): Promise<Head> => {
    const head = await loadHead(store, id)
    if (head === undefined) throw toNotFound(id)
    assertMachine(head)
    return head
  }

  /** What the run goes on with, on the machine that there is now (P10). */
  const prepare = async (
    log: RunLog,
  ): Promise<{ readonly machine: AnyStateMachine; readonly record: ActorRecord; readonly head: MachineHead }> => {
    const head = readMachineHead(log.head)
    const record = (await log.loadSnapshot()) as ActorRecord // checksummed: written by a durable actor
    const plan = planActivation(registry, {
      run: log.id,
      name: log.head.name,
      version: head.version,
      snapshot: record.actor,
      timers: record.timers,
    })
    if (plan.kind === 'park') throw toIncompatible(log, plan.missing)
    if (plan.kind === 'failed' || plan.kind === 'unknown') throw plan.error
    const { machine, version } = plan
    return {
      machine,
      record: plan.kind === 'migrate' ? { ...record, actor: plan.snapshot, timers: plan.timers } : record,
      head: { ...head, version, missing: undefined },
    }
  }

  const load = async (id: string): Promise<MachineActivation> => {
    const release = services.claim(id)
    try {
      const log = await openRunLog(services, id)
      if (log === undefined) throw toNotFound(id)
      assertMachine(log.head)
      if (log.head.endedAt !== undefined) throw toEnded(id)
      const { machine, record, head } = await prepare(log).catch(async (error: unknown) => {
        if (isPerdureError(error, 'RUN_INCOMPATIBLE')) await park(log, error)
        throw error
      })
      await loadSteps(log, record.actor)
      const activation = adopt(log, machine, { record }, release)
      const before = readMachineHead(log.head)
      if (
        log.head.status === 'incompatible' ||
        before.version.structure !== head.version.structure ||
        before.version.declared !== head.version.declared
      )
        log.update({ status: 'running', data: head })
      activation.start()
      if (
        (
          await store
            .entries({ ...inboxRange(id), limit: 1 })
            [Symbol.asyncIterator]()
            .next()
        ).done !== true
      )
        void activation.takeMessages()
      return activation
    } catch (error) {
      release()
      throw error
    }
  }

  const park = async (log: RunLog, error: PerdureError): Promise<void> => {
    const missing = error.details.missing as readonly string[] // put there by `toIncompatible`
    const known = log.head.status === 'incompatible' ? readMachineHead(log.head).missing : undefined
    if (known?.join() === missing.join()) return
    log.update({ status: 'incompatible', data: { ...readMachineHead(log.head), missing: [...missing] } })
    await log.commit()
    emit({ type: 'machine.parked', runId: log.id, name: log.head.name, missing })
  }

  const enter = (id: string, opening: Promise<MachineActivation>): Promise<MachineActivation> => {
    active.set(id, opening)
    opening.then(
      (activation) => {
        if (activation.state !== 'active') return
        inMemory.set(id, activation)
        idle.add(activation)
      },
      () => {
        if (active.get(id) === opening) active.delete(id)
      },
    )
    return opening
  }

  const activate = async (id: string): Promise<MachineActivation> => {
    for (;;) {
      const known = active.get(id)
      const activation = await (known ?? enter(id, load(id)))
      if (activation.state === 'active') {
        idle.touch(activation)
        return activation
      }
      // It broke as soon as it was there, and would do so again and again: this says why.
      if (known === undefined && activation.state === 'broken') await activation.commit()
      if (activation.state === 'ended') throw toEnded(id)
    }
  }

  const use = async <T>(id: string, fn: (activation: MachineActivation) => Promise<T>): Promise<T> => {
    for (;;) {
      const activation = await activate(id)
      if (activation.state === 'active') return fn(activation)
    }
  }

  /** What was sent to a run that takes nothing any more: told of once. */
  const dropMessages = (id: string): Promise<void> => {
    const dropped = (dropping.get(id) ?? Promise.resolve()).then(async () => {
      for await (const [key, bytes] of store.entries(inboxRange(id))) {
        const { from, event } = readMessage(key, bytes)
        await store.write([{ type: 'del', key }])
        emit({ type: 'message.dropped', runId: id, from, event })
      }
    })
    const last: Promise<void> = dropped
      .catch(() => {})
      .then(() => {
        if (dropping.get(id) === last) dropping.delete(id)
      })
    dropping.set(id, last)
    return dropped
  }

  return {
    async start(machineOrId, id, input) {
      const { machine, version } = registry.find(machineOrId)
      const inputHash = toHash(input)
      const conflict = (what: string): PerdureError =>
        new PerdureError('RUN_CONFLICT', `The run \`${id}\` ${what}. Choose another id.`, { details: { run: id } })
      const create = async (): Promise<MachineActivation> => {
        const release = services.claim(id)
        try {
          const data: MachineHead = { version, inputHash, error: undefined }
          const log = createRunLog(services, { id, kind: MACHINE, name: machine.id, data })
          const time = now()
          log.putStep(INPUT, {
            kind: MACHINE,
            name: 'input',
            status: 'ok',
            attempt: 1,
            startedAt: time,
            endedAt: time,
            value: input,
          })
          const activation = adopt(log, machine, { input }, release)
          emit({ type: 'machine.started', runId: id, name: machine.id })
          activation.start()
          await activation.commit()
          return activation
        } catch (error) {
          release()
          throw error
        }
      }
      let known = await loadHead(store, id)
      while (known === undefined) {
        const opening = active.get(id)
        if (opening === undefined) return void (await enter(id, create()))
        await opening.catch(() => {}) // somebody else is starting it
        known = await loadHead(store, id)
      }
      assertMachine(known)
      if (known.name !== machine.id) throw conflict(`is of the machine \`${known.name}\``)
      if (readMachineHead(known).inputHash !== inputHash) throw conflict('was started with another input')
    },
    activate,
    use,
    peek(id) {
      const activation = inMemory.get(id)
      if (activation?.state !== 'active') return undefined
      idle.touch(activation)
      return activation
    },
    async evict(id) {
      const activation = await active.get(id)?.catch(() => undefined)
      if (activation?.state !== 'active') return
      activation.stop()
      forget(activation)
    },
    readHead,
    async readOutput(id) {
      const record = (await (await openRunLog(services, id))?.loadSnapshot()) as ActorRecord | undefined // see `prepare`
      return record?.actor.output
    },
    async read(id) {
      const running = await active.get(id)?.catch(() => undefined)
      if (running?.state === 'active') {
        const snapshot = await running.snapshot()
        return { head: await readHead(id), snapshot }
      }
      const log = await openRunLog(services, id)
      if (log === undefined) throw toNotFound(id)
      assertMachine(log.head)
      const { machine, record } = await prepare(log)
      return { head: log.head, snapshot: restoreActor(id, machine, record).getSnapshot() }
    },
    async cancel(id, reason) {
      try {
        await use(id, (activation) => activation.cancel(reason))
      } catch (error) {
        if (!isPerdureError(error, 'RUN_INCOMPATIBLE') && !isPerdureError(error, 'MACHINE_UNKNOWN')) throw error
        const log = await openRunLog(services, id)
        if (log === undefined) throw toNotFound(id)
        const data: MachineHead = { ...readMachineHead(log.head), ...(reason === undefined ? {} : { reason }) }
        log.update({ status: 'cancelled', endedAt: now(), wakeAt: undefined, data })
        await log.commit()
        emit({ type: 'machine.cancelled', runId: id, name: log.head.name, reason })
        for (const watcher of [...(watchers.of(id) ?? [])]) watcher.onEnd?.({ head: log.head, snapshot: undefined })
      }
    },
    async takeMessages(id) {
      try {
        await use(id, (activation) => activation.takeMessages())
      } catch (error) {
        if (isPerdureError(error, 'RUN_NOT_FOUND') || isPerdureError(error, 'RUN_ENDED') || isPerdureError(error, 'RUN_CONFLICT'))
          await dropMessages(id)
        else throw error
      }
    },
    async stop() {
      idle.close()
      const running = await Promise.all([...active.values()].map((opening) => opening.catch(() => undefined)))
      for (const activation of running) {
        if (activation === undefined) continue
        await activation.commit().catch(() => {})
        activation.stop()
        forget(activation)
      }
    },
  }
}

function toNotFound(run: string): PerdureError {
  return new PerdureError(
    'RUN_NOT_FOUND',
    `There is no run \`${run}\`. Start it with \`runtime.start(machine, { id: '${run}' })\`.`,
    {
      details: { run },
    },
  )
}

function toIncompatible(log: RunLog, missing: readonly string[]): PerdureError {
  return new PerdureError(
    'RUN_INCOMPATIBLE',
    `The run \`${log.id}\` cannot go on with the machine \`${log.head.name}\` as it is now. Missing: ${missing.join(', ')}. It is kept as it was. Register the version that it began with beside the new one, or give the new one a \`migrate\`.`,
    { details: { run: log.id, machine: log.head.name, missing: [...missing] } },
  )
}
