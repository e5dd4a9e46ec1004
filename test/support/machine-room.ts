import assert from 'node:assert/strict'
import { isPerdureError, openRuntime, type Runtime, type RuntimeEvent, type RuntimeOptions, type RuntimeSettings } from 'perdure'
import { createTempRoom } from './temp-room.ts'

/** An open runtime whose events are kept. */
export type RecordedMachines = Runtime & { readonly events: readonly RuntimeEvent[] }

export interface MachineRoom {
  /** A directory that is not there yet. */
  directory(): string
  /** Opens a runtime; closed at the latest when the room is. */
  open(directory: string, machines: RuntimeOptions['machines'], options?: RuntimeSettings): Promise<RecordedMachines>
  remove(): Promise<void>
}

/** A room for tests of machines' runs; its maker removes it when the tests are done. */
export async function createMachineRoom(): Promise<MachineRoom> {
  const room = await createTempRoom()
  const opened = new Set<Runtime>()
  return {
    directory: () => room.path('store'),
    async open(directory, machines, options = {}) {
      const events: RuntimeEvent[] = []
      const onEvent = (event: RuntimeEvent): void => void events.push(event)
      const runtime = await openRuntime({ directory, machines, log: 'silent', durability: 'process', onEvent, ...options })
      opened.add(runtime)
      return Object.assign(runtime, { events })
    },
    async remove() {
      for (const runtime of opened) await runtime.close()
      await room.remove()
    },
  }
}

export const rejectsWith = (promise: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(promise, (error) => isPerdureError(error) && error.code === code)
