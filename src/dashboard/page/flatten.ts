import type { CallNode, RunDetails } from '../../management/management.ts'

/** A call, and how deep it is below its turn. */
export interface FlatCall {
  readonly call: CallNode
  readonly depth: number
}

export function* walkCalls(calls: readonly CallNode[], depth = 0): Generator<FlatCall> {
  for (const call of calls) {
    yield { call, depth }
    yield* walkCalls(call.calls, depth + 1)
  }
}

/** All calls of a run, those of its turns first. */
export const toAllCalls = ({ tree, steps }: RunDetails): readonly CallNode[] =>
  [...tree.flatMap(({ calls }) => [...walkCalls(calls)]), ...walkCalls(steps)].map(({ call }) => call)
