import type { Management } from './management.ts'

/**
 * How each method of {@link Management} goes over a wire. `value`: one value. `many`: an item after the other. `live`: the same, and it may wait for the next one: its last
 * argument takes a `signal` that ends it. `upload`: its first argument is bytes that go
 * there as they come, and it gives one value.
 */
export type MethodKind = 'value' | 'many' | 'live' | 'upload'

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
  machine: 'value',
  answer: 'value',
  send: 'value',
  cancel: 'value',
  settle: 'value',
  resume: 'value',
  fork: 'value',
  delete: 'value',
  verify: 'many',
  export: 'many',
  import: 'upload',
  stats: 'value',
  gc: 'value',
} as const satisfies Readonly<Record<keyof Management, MethodKind>>

/** How many arguments a live method has. */
const liveArguments = { stream: 2, events: 1 } as const

/** The arguments with a signal among their options, for what may wait. */
export function toLiveArguments(name: MethodName, args: readonly unknown[], signal: AbortSignal): readonly unknown[] {
  if (name !== 'stream' && name !== 'events') return args
  const place = liveArguments[name] - 1
  const options = args[place] ?? {}
  if (typeof options !== 'object') return args // refused by the method
  return [...args.slice(0, place), { ...options, signal }]
}

export type MethodName = keyof typeof methods

export const isMethodName = (name: string): name is MethodName => Object.hasOwn(methods, name)
