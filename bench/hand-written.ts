import { Level } from 'level'
import type { AgentMachine } from 'perdure'
import { createActor } from 'xstate'
import { promptOf } from './turn.ts'

/** A conversation that takes turns. */
export interface Conversation {
  /** Resolves when the turn has come to its answer, and that is as durable as this kind of conversation is. */
  readonly turn: (number: number) => Promise<void>
}

/** The machine of the agent in plain XState: nothing of it is kept. */
export function startPlain(
  machine: AgentMachine,
  onChange: (actor: ReturnType<typeof createActor<AgentMachine>>) => void = () => {},
): Conversation {
  const actor = createActor(machine, { input: {} })
  let ended = Promise.withResolvers<void>()
  let isArmed = false
  actor.subscribe((snapshot) => {
    onChange(actor)
    if (!isArmed || !snapshot.hasTag('settled')) return
    isArmed = false
    if (snapshot.context.error === undefined) ended.resolve()
    else ended.reject(new Error(snapshot.context.error.message))
  })
  actor.start()
  return {
    async turn(number) {
      ended = Promise.withResolvers()
      isArmed = true
      actor.send({ type: 'prompt', text: promptOf(number) })
      await ended.promise
    },
  }
}

/**
 * The second reference, what a user would write by hand: `createActor` and `level`, the JSON of the whole persisted snapshot at every change, synced and in
 * order. The turn has come to its end when its last change is on the disk.
 */
export async function openHandWritten(folder: string): Promise<{
  readonly start: (machine: AgentMachine, id: string) => Conversation
  readonly bytes: () => number
  readonly close: () => Promise<void>
}> {
  const database = new Level<string, string>(folder)
  await database.open()
  const synced: object = { sync: true } // an option of classic-level, unknown to the abstract type
  let bytes = 0
  return {
    start(machine, id) {
      let last = Promise.resolve()
      const conversation = startPlain(machine, (actor) => {
        const text = JSON.stringify(actor.getPersistedSnapshot())
        bytes += Buffer.byteLength(text)
        last = last.then(() => database.put(id, text, synced))
      })
      return {
        async turn(number) {
          await conversation.turn(number)
          await last
        },
      }
    },
    bytes: () => bytes,
    close: () => database.close(),
  }
}
