import { realpathSync } from 'node:fs'
import { PerdureError } from '../errors.ts'
import { agentMachine } from '../machines/agent.ts'
import { assertRunId } from '../persistence/keys.ts'
import type { Head } from '../persistence/run-log.ts'
import type { Store } from '../persistence/store.ts'
import { claimsOf } from '../runtime/claims.ts'
import { describeMachine } from '../runtime/machine-description.ts'
import { MACHINE, readMachineHead } from '../runtime/machine-head.ts'
import { createMachineRegistry, type MachineEntry, type MachineRegistry } from '../runtime/machine-registry.ts'
import type { Pending } from '../runtime/pending.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { StepStatus } from '../runtime/step-list.ts'
import { readVersion } from '../version.ts'
import { exportRun } from './export.ts'
import { collectGarbage } from './gc.ts'
import { importRun } from './import.ts'
import { listenToEvents } from './live-events.ts'
import type { Management, RunDetails, RunSnapshot, StoreInfo } from './management.ts'
import { readHead, readHeadData, readHeadsWithin, readSnapshot, toStoredActor } from './reading.ts'
import { readStats } from './stats.ts'
import { listSummaries, toSummary } from './summary.ts'
import { readTranscript, toMessages } from './transcript.ts'
import { readTree } from './tree.ts'
import { verifyStore } from './verify.ts'

/** What a management is of. */
export interface ManagementRoom {
  readonly runtime: Runtime
  /** That of the runtime. */
  readonly store: Store
  readonly now: () => number
  /** When the store was opened, in epoch milliseconds. */
  readonly openedAt: number
  readonly machines: readonly MachineEntry[]
  /** The names of its flows so far. */
  readonly flows: ReadonlySet<string>
  /** Aborts, with the error for whoever waits, when the runtime closes. */
  readonly closing: AbortSignal
}

/** The one implementation of {@link Management}, in the process that has the store open. */
export function createManagement({ runtime, store, now, openedAt, machines, flows, closing }: ManagementRoom): Management {
  let known: MachineRegistry | undefined
  const registry = (): MachineRegistry => (known ??= createMachineRegistry(machines))

  const readDetails = async (id: string): Promise<RunDetails> => {
    assertRunId(id)
    const first = await readHead(store, id)
    const summary = await toSummary(store, first, now())
    const { head, value } = first.kind === 'flow' ? { head: first, value: undefined } : await readSnapshot(store, id)
    const actor = toStoredActor(value)
    const messages = toMessages(actor)
    const children: Head[] = []
    for await (const inner of readHeadsWithin(store, id)) if (readHeadData(inner).parent === id) children.push(inner)
    const statuses = new Map<string, StepStatus>()
    for await (const { key, status } of runtime.get(id).steps()) statuses.set(key, status)
    const { tree, steps, input, output } = await readTree(store, {
      head,
      children,
      statuses,
      promptAt(start) {
        const message = messages[start]
        return message?.role === 'user' ? message.content : undefined
      },
    })
    const questions: Pending[] = []
    for await (const question of runtime.pending({ run: id })) questions.push(question)
    const ids = children.map((child) => child.id)
    return { ...summary, children: ids, tree, steps, questions, input, output: output ?? actor.output }
  }

  const toSnapshot = async (id: string): Promise<RunSnapshot> => {
    assertRunId(id)
    const { head, value } = await readSnapshot(store, id)
    const actor = toStoredActor(value)
    return {
      runId: id,
      status: head.status,
      state: actor.value,
      context: actor.context,
      output: actor.output,
      children: Object.fromEntries(Object.entries(actor.children ?? {}).map(([name, child]) => [name, child.snapshot])),
      timers: toTimers(value),
    }
  }

  const claim = (run: string): (() => void) => claimsOf(runtime).claim(run)

  return {
    async info() {
      const version = readVersion()
      const owner = { pid: process.pid, startedAt: openedAt }
      const directory = realpathSync(store.location)
      const ids = machines.map((entry) => ('machine' in entry ? entry.machine.id : entry.id))
      const info: StoreInfo = { directory, owner, version, node: process.version, machines: ids, flows: [...flows] }
      return info
    },
    runs: (query) => listSummaries(store, query, now),
    run: readDetails,
    steps: (id) => runtime.get(id).steps(),
    pending: (filter) => runtime.pending(filter),
    stream: (id, options) => runtime.get(id).stream(options),
    events: (query = {}) => listenToEvents(runtime, query, closing),
    transcript(id) {
      assertRunId(id)
      return readTranscript(store, id)
    },
    snapshot: toSnapshot,
    async machine(id) {
      assertRunId(id)
      const head = await readHead(store, id)
      if (head.kind === 'flow') return undefined
      const resolution = head.kind === MACHINE ? registry().resolve(head.name, readMachineHead(head).version) : undefined
      if (resolution?.kind === 'unknown') throw toUnknownMachine(head)
      return describeMachine(resolution?.entry.machine ?? agentMachine)
    },
    answer: async (id, question, value) => runtime.get(id).answer(question, value),
    send: async (id, event, options) => runtime.get(id).send(event, options),
    cancel: async (id, reason) => runtime.get(id).cancel(reason),
    settle: async (id, key, outcome) => runtime.get(id).settle(key, outcome),
    resume: async (id) => runtime.resume(id),
    async fork(id, options) {
      const fork = await runtime.fork(id, options)
      return { id: fork.id }
    },
    delete: async (id) => runtime.delete(id),
    verify: () => verifyStore(store),
    async *export(id) {
      yield* exportRun(store, id, { now: now(), version: readVersion() })
    },
    import: (source, options) => importRun({ store, claim }, source, options),
    stats: () => readStats(store),
    gc: (policy) => collectGarbage({ store, claim, now }, policy),
  }
}

const toUnknownMachine = ({ id, name }: Head): PerdureError =>
  new PerdureError(
    'MACHINE_UNKNOWN',
    `The process that has the store open does not know the machine \`${name}\` of the run \`${id}\`. Add it to \`machines\` of \`openRuntime\`.`,
    { details: { run: id, machine: name } },
  )

function toTimers(snapshot: unknown): RunSnapshot['timers'] {
  const timers = typeof snapshot === 'object' && snapshot !== null && 'timers' in snapshot ? snapshot.timers : []
  if (!Array.isArray(timers)) return []
  return timers.map(({ dueAt, event }) => ({ at: Number(dueAt), event: String(event?.type) }))
}
