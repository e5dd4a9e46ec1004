import { randomUUID } from 'node:crypto'
import type { AnyStateMachine, InputFrom } from 'xstate'
import { PerdureError } from '../errors.ts'
import { assertRunId } from '../persistence/keys.ts'
import type { IdlePolicy } from './idle.ts'
import type { MachineRegistry } from './machine-registry.ts'
import { createMachineRuns } from './machine-runs.ts'
import type { OtherRuns } from './other-runs.ts'
import { type Run, toRun } from './run.ts'
import type { Services } from './services.ts'
import { createWaker } from './wake.ts'
import { createWatchers } from './watchers.ts'

/** How a run of a machine begins. */
export interface StartOptions<TMachine extends AnyStateMachine> {
  /** Names the run. Default: made of the machine's id and a random part. */
  readonly id?: string | undefined
  readonly input?: InputFrom<TMachine> | undefined
}

/** The runs of machines in an open runtime. */
export interface Machines {
  start<TMachine extends AnyStateMachine>(machine: TMachine | string, options: StartOptions<TMachine>): Promise<Run<TMachine>>
  get<TMachine extends AnyStateMachine>(id: string): Run<TMachine>
  /** Brings a run into memory; what that led to is on disk when it resolves. */
  activate(id: string): Promise<void>
  resume(): Promise<void>
  delete(id: string): Promise<boolean>
  /** There are new messages on disk for these runs. */
  takeMessages(runs: ReadonlySet<string>): void
  stop(error: PerdureError): Promise<void>
}

export interface MachinesOptions {
  readonly services: Services
  readonly registry: MachineRegistry
  readonly idle: IdlePolicy
  readonly resumeConcurrency: number
  readonly autoResume: boolean
  readonly assertOpen: () => void
  readonly others: OtherRuns
  /** There are messages on disk for the run of a flow, or for one that there is not. */
  readonly takeFlowMessages: (runId: string) => Promise<void>
  /** Removes the records of a run that is claimed. False: there was none. */
  readonly erase: (runId: string) => Promise<boolean>
}

export function createMachines({
  services,
  registry,
  idle,
  resumeConcurrency,
  autoResume,
  assertOpen,
  others,
  takeFlowMessages,
  erase,
}: MachinesOptions): Machines {
  const { emit, closing } = services
  const watchers = createWatchers()
  let isResumed = false
  const runs = createMachineRuns({
    services,
    registry,
    watchers,
    idle,
    eraseRecords: erase,
    takeFlowMessages,
    onPassivated(_id, wakeAt) {
      // Who did not want runs to go on by themselves has none brought back: what is in memory and has a deadline stays there.
      if (wakeAt !== undefined && !isResumed) return false
      if (wakeAt !== undefined) waker.consider(wakeAt)
      return true
    },
  })
  const onBlocked = (runId: string, error: unknown): void => {
    if (!closing.aborted) emit({ type: 'run.blocked', runId, error })
  }
  const { activate, takeMessages } = runs
  const waker = createWaker({ services, activate, takeMessages, concurrency: resumeConcurrency, onBlocked })
  const room = { services, runs, watchers, others, assertOpen }

  const machines: Machines = {
    async start<TMachine extends AnyStateMachine>(machine: TMachine | string, { id, input }: StartOptions<TMachine>) {
      assertOpen()
      const runId = id ?? `${registry.find(machine).machine.id}/${randomUUID()}`
      assertRunId(runId)
      await runs.start(machine, runId, input)
      return toRun<TMachine>(room, runId)
    },
    get(id) {
      assertRunId(id)
      return toRun(room, id)
    },
    activate: async (id) => (await activate(id)).commit(),
    resume() {
      assertOpen()
      isResumed = true
      return waker.resume()
    },
    async delete(id) {
      assertOpen()
      assertRunId(id)
      const isDeleted = await runs.erase(id)
      services.streams.end(id)
      const gone = new PerdureError('RUN_NOT_FOUND', `The run \`${id}\` was deleted.`, { details: { run: id } })
      for (const watcher of [...(watchers.of(id) ?? [])]) watcher.onError?.(gone)
      return isDeleted
    },
    takeMessages(recipients) {
      for (const id of recipients) if (!closing.aborted) runs.takeMessages(id).catch((error: unknown) => onBlocked(id, error))
    },
    async stop(error) {
      watchers.fail(error)
      await waker.close()
      await runs.stop()
    },
  }
  if (autoResume) machines.resume().catch(() => {}) // told of by `onBlocked`
  return machines
}
