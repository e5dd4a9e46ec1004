import type { Management } from './management.ts'

/**
 * How each method of {@link Management} goes over a wire. `value`: one value. `many`: an item after the other. `live`: the same, and it may wait for the next one: its last
 * argument takes a `signal` that ends it.
 */
export type MethodKind = 'value' | 'many' | 'live'

/** The server and the client are made of this table: what is not in it does not exist. */
export const methods = {
  info: 'value',
  runs: 'many',
  run: 'value',
  steps: 'many',
  pending: 'many',
  stream: 'live',
  events: 'live',
  transcript: 'many',
  snapshot: 'value',
  answer: 'value',
  send: 'value',
  cancel: 'value',
  settle: 'value',
  resume: 'value',
  delete: 'value',
} as const satisfies Readonly<Record<keyof Management, MethodKind>>

/** How many arguments a live method has. */
export const liveArguments = { stream: 2, events: 1 } as const

export type MethodName = keyof typeof methods

export const isMethodName = (name: string): name is MethodName => Object.hasOwn(methods, name)
