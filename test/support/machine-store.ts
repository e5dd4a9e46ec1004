import { type AnyStateMachine, createMachine } from 'xstate'
import { createCommitter } from '../../src/persistence/commit.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { createRunLog, type Head } from '../../src/persistence/run-log.ts'
import type { Store } from '../../src/persistence/store.ts'
import { MACHINE } from '../../src/runtime/machine-head.ts'
import { toStructure } from '../../src/runtime/machine-structure.ts'
import { leave } from './stored-state.ts'

/** Makes a machine of states, as one release of an app declares it. */
export const release = (id: string, version: string, states: Readonly<Record<string, object>>): AnyStateMachine =>
  createMachine({ id, version, initial: Object.keys(states)[0], states } as Parameters<typeof createMachine>[0])

export interface RecordedRun {
  readonly id: string
  readonly machine: AnyStateMachine
  /** Instead of what the runtime writes. */
  readonly head?: Partial<Pick<Head, 'kind' | 'data' | 'status' | 'endedAt'>>
  readonly snapshot?: unknown
}

/** Writes runs as the runtime does. */
export async function recordRuns(store: Store, runs: readonly RecordedRun[]): Promise<void> {
  const room = { store, committer: createCommitter(store, { sync: true }), now: () => 1 }
  for (const { id, machine, head: { kind = MACHINE, data, ...change } = {}, snapshot } of runs) {
    const { version: declared } = machine
    const version = { ...(declared === undefined ? {} : { declared }), structure: toStructure(machine) }
    const log = createRunLog(room, { id, kind, name: machine.id, data: data ?? { version, inputHash: 'none', error: undefined } })
    log.update(change)
    log.follow(() => snapshot ?? { ...leave(machine), steps: 0 })
    await log.commit()
  }
}

/** A closed store with these runs. */
export async function createMachineStore(directory: string, runs: readonly RecordedRun[]): Promise<void> {
  const store = await openLevelStore(directory)
  await recordRuns(store, runs)
  await store.close()
}
