import type { Model, ModelRequest } from '../../actors/model.ts'
import type { Script } from '../script.ts'
import { type ScriptedModelOptions, scriptedModel } from '../scripted-model.ts'
import type { Death } from './death.ts'
import type { Pulse } from './pulse.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What the world outside of the program saw, and what is there when the program is not: it survives every death. */
export interface Outside {
  /**
   * The outside world sees an effect: a mail that is sent, money that is moved. With a `key` the outside is idempotent: what comes under a key that it has seen is the
   * same effect. Takes a few turns of the event loop. In a life that has ended nothing is seen, and it never resolves.
   */
  effect(name: string, key?: string): Promise<void>
  /**
   * A {@link scriptedModel} whose requests are counted as paid. Let the script be a function that decides by the conversation, so that it says the same whoever asks.
   * Its waits take no real time.
   */
  model(script: Script, options?: Omit<ScriptedModelOptions, 'sleep'>): Model
  /**
   * Does `fn`, unless this or an earlier life has seen it resolve: a client outside of the program that repeats its request until it is acknowledged, and never after.
   * So what `fn` resolves with must not be lost by a death: {@link CrashReport.lostEvents}.
   */
  once(name: string, fn: () => Promise<unknown>): Promise<void>
  /**
   * Somebody hears of something: an event that a machine emits. A death may take what was not yet heard, but nothing is heard twice: what is heard of `source` over all
   * lives is, in its order, a part of what is heard without a death.
   */
  heard(source: string, what: string): void
}

/** What is seen outside, in its order. */
export type Seen =
  | { readonly type: 'effect'; readonly name: string; readonly key: string | undefined; readonly at: number }
  | { readonly type: 'request'; readonly model: string; readonly messages: number }
  | { readonly type: 'acknowledged'; readonly name: string }
  | { readonly type: 'heard'; readonly source: string; readonly what: string }

export interface OutsideRoom {
  readonly death: Death
  readonly pulse: Pulse
  readonly clock: VirtualClock
  /** What was acknowledged: in this life and before. */
  readonly acknowledged: Set<string>
  /** On record when it returns, whatever happens then. */
  readonly see: (seen: Seen) => void
}

export function createOutside({ death, pulse, clock, acknowledged, see }: OutsideRoom): Outside {
  const never = new Promise<never>(() => {})
  const watched = async <T>(promise: Promise<T>): Promise<T> => {
    const end = pulse.begin()
    try {
      return await death.mortal(promise)
    } finally {
      end()
    }
  }
  return {
    async effect(name, key) {
      assertName(name)
      if (death.isDead) return never
      see({ type: 'effect', name, key, at: clock.now() })
      await watched(turns(toTurns(name)))
    },
    model(script, options = {}) {
      const sleep = (delayMs: number, signal: AbortSignal): Promise<void> =>
        new Promise((resolve, reject) => {
          const handle = clock.setTimeout(resolve, delayMs)
          signal.addEventListener('abort', () => {
            clock.clearTimeout(handle)
            reject(signal.reason)
          })
        })
      const scripted = scriptedModel(script, { ...options, sleep })
      const model = async (request: ModelRequest, context: Parameters<Model>[1]) => {
        if (death.isDead) return never
        if (!context.signal.aborted) see({ type: 'request', model: request.model, messages: request.messages.length })
        await watched(turns(toTurns(JSON.stringify(request.messages.at(-1)))))
        return await death.mortal(scripted(request, context))
      }
      const { resume } = scripted
      // An answer that went on in the background is gone with the process that played the provider: then it is asked for again.
      return resume === undefined
        ? model
        : Object.assign(model, { resume: (...given: Parameters<typeof resume>) => death.mortal(resume(...given)) })
    },
    async once(name, fn) {
      assertName(name)
      if (death.isDead) return never
      if (acknowledged.has(name)) return
      await death.mortal(fn())
      if (death.isDead) return never
      acknowledged.add(name)
      see({ type: 'acknowledged', name })
      pulse.beat()
    },
    heard(source, what) {
      if (!death.isDead) see({ type: 'heard', source, what })
    },
  }
}

function assertName(name: unknown): void {
  if (typeof name !== 'string' || name === '')
    throw new TypeError(`Expected \`name\` to be a non-empty string, got \`${String(name)}\` (${typeof name})`)
}

/** What runs at once comes to its end one after the other, always in the same order: from 2 to 6 turns, after the intent of it has been written. */
function toTurns(text: string): number {
  let hash = 0
  for (let index = 0; index < text.length; index++) hash = (Math.imul(hash, 31) + text.charCodeAt(index)) | 0
  return 2 + ((hash >>> 0) % 5)
}

const turns = (count: number): Promise<void> => new Promise((resolve) => turn(count, resolve))

function turn(left: number, then: () => void): void {
  if (left === 0) then()
  else setImmediate(turn, left - 1, then)
}
