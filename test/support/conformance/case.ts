import type { AnyEventObject, AnyStateMachine } from 'xstate'
import type { NormalSnapshot } from './normal-snapshot.ts'

/** What happens to a machine: an event comes, the clock moves, what is outside answers. */
export type Step =
  | { readonly send: AnyEventObject }
  /** Milliseconds. */
  | { readonly advance: number }
  /** Opens the gate of that name; `true`: all that somebody waits at. */
  | { readonly settle: true | string }

/** What is outside of a machine. It outlives each process. */
export interface World {
  /** Resolves once a step has opened it, and stays open: whoever asks again after a restart is not held up twice. */
  gate(name: string): Promise<void>
  /** What custom actions leave behind. At least once, so never compared between ways of running. */
  readonly effects: string[]
}

/** What became of a machine. */
export interface Outcome {
  /** After the start, then after each step. */
  readonly snapshots: readonly NormalSnapshot[]
  /** The last of them. */
  readonly final: NormalSnapshot
  /** Emitted by the root, in order. */
  readonly emitted: readonly AnyEventObject[]
  readonly output: unknown
  readonly effects: readonly string[]
}

/** A machine, what happens to it, and how that must end, however it is run. */
export interface ConformanceCase {
  /** A sentence. */
  readonly name: string
  /** A fresh one each time: nothing leaks from one run into another. */
  machine(world: World): AnyStateMachine
  readonly input?: unknown
  readonly script: readonly Step[]
  /** For machines with children that run again after a restart: why it ends in the same way. */
  readonly idempotent?: string
  /** Why it does not end in the same way after a restart. Only what nobody can rely on in XState's own persistence either. */
  readonly lostInRestart?: string
  /** What makes the case test what its name says. */
  expect(outcome: Outcome): void
}

export interface OpenWorld extends World {
  open(name: true | string): void
}

export function createWorld(): OpenWorld {
  const gates = new Map<string, PromiseWithResolvers<void>>()
  const find = (name: string): PromiseWithResolvers<void> => {
    const gate = gates.get(name) ?? Promise.withResolvers<void>()
    gates.set(name, gate)
    return gate
  }
  return {
    effects: [],
    gate: (name) => find(name).promise,
    open(name) {
      if (name !== true) find(name).resolve()
      else for (const gate of gates.values()) gate.resolve()
    },
  }
}

/** Shorter scripts. */
export const send = (type: string, payload: object = {}): Step => ({ send: { type, ...payload } })
export const advance = (ms: number): Step => ({ advance: ms })
export const settle = (gate: true | string = true): Step => ({ settle: gate })
