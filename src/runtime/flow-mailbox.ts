import type { EventObject } from 'xstate'
import { inboxRange } from '../persistence/keys.ts'
import type { Store } from '../persistence/store.ts'
import { type Message, readMessage } from './message.ts'

/** Somebody who waits for an event of a run. */
interface Waiter {
  readonly type: string
  /** Whether it is what is waited for, besides being of that type. */
  readonly accepts: (message: Message) => boolean | Promise<boolean>
  /** Called once, with the message and its key in the inbox; the message is to be removed from there. */
  readonly take: (event: EventObject, key: string) => void
  readonly fail: (error: unknown) => void
}

/** Hands the messages in the inbox of one run to those who wait for them: the oldest first, to who asked first. What nobody waits for stays in the inbox. */
export interface Mailbox {
  /** `looked`: resolves when what is in the inbox now has been looked at. */
  add(waiter: Waiter): { readonly looked: Promise<void>; readonly remove: () => void }
  /** There are new messages on disk. */
  onMessages(): void
}

export function createMailbox(store: Store, runId: string): Mailbox {
  const waiters = new Set<Waiter>()
  /** Messages that were taken, and may not be gone from the disk yet. */
  const taken = new Set<string>()
  let looking: Promise<void> | undefined
  let again = false

  const offer = async (key: string, message: Message, present: readonly Waiter[]): Promise<void> => {
    for (const waiter of present) {
      if (waiter.type !== message.event.type || !waiters.has(waiter) || !(await waiter.accepts(message))) continue
      if (!waiters.delete(waiter)) continue // it gave up meanwhile
      taken.add(key)
      waiter.take(message.event, key)
      return
    }
  }
  const lookOnce = async (): Promise<void> => {
    // Who comes during this pass may have missed an older message: there is another one for them.
    const present = [...waiters]
    const seen = new Set<string>()
    for await (const [key, bytes] of store.entries(inboxRange(runId))) {
      seen.add(key)
      if (!taken.has(key)) await offer(key, readMessage(key, bytes), present)
    }
    for (const key of taken) if (!seen.has(key)) taken.delete(key)
  }
  const look = async (): Promise<void> => {
    await undefined // what follows runs when `looking` is set
    try {
      while (again && waiters.size > 0) {
        again = false
        await lookOnce()
      }
    } catch (error) {
      for (const waiter of waiters) waiter.fail(error)
      waiters.clear()
    } finally {
      looking = undefined // with the last look at `again`: who comes later begins anew
    }
  }
  const lookAgain = (): Promise<void> => {
    again = true
    looking ??= look()
    return looking
  }

  return {
    add(waiter) {
      waiters.add(waiter)
      return { looked: lookAgain(), remove: () => void waiters.delete(waiter) }
    },
    onMessages: () => void lookAgain(),
  }
}
