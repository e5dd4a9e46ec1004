import type { AnyActorRef, AnyMachineSnapshot, Snapshot } from 'xstate'

/** What two snapshots of one state have in common, whichever process made them. */
export interface NormalSnapshot {
  readonly status: string
  readonly value?: unknown
  readonly context?: unknown
  readonly output?: unknown
  /** Of an error its message. */
  readonly error?: unknown
  readonly tags?: readonly string[]
  readonly meta?: unknown
  /** Ids of the remembered states, by history state. */
  readonly history?: unknown
  /** Of a machine that is active: what ended has let go of its children. */
  readonly children?: Readonly<Record<string, NormalChild>>
}

export interface NormalChild {
  readonly src: unknown
  readonly systemId?: string
  readonly snapshot: NormalSnapshot
}

/** Ids that were made up, such as `x:12` by XState, become `unnamed-1` in the order of the children. */
type Names = ReadonlyMap<string, string>

export function toNormalSnapshot(snapshot: Snapshot<unknown>): NormalSnapshot {
  const { status, output, error } = snapshot
  const end = { ...(output === undefined ? {} : { output }), ...(error === undefined ? {} : { error: toMessage(error) }) }
  if (!isMachineSnapshot(snapshot)) {
    const { context } = snapshot as { readonly context?: unknown } // what observables, stores and transitions have
    return { status, ...end, ...(context === undefined ? {} : { context: toNormalValue(context, new Map()) }) }
  }
  const made = Object.keys(snapshot.children).filter((id) => /^x[.:]\d+$/.test(id))
  const names: Names = new Map(made.map((id, index) => [id, `unnamed-${index + 1}`]))
  const history = Object.entries(snapshot.historyValue ?? {}).map(([key, nodes]) => [key, nodes.map(({ id }) => id)])
  return {
    status,
    ...end,
    value: snapshot.value,
    context: toNormalValue(snapshot.context, names),
    tags: [...snapshot.tags].sort(),
    meta: snapshot.getMeta(),
    history: Object.fromEntries(history),
    ...(status === 'active' ? { children: toNormalChildren(snapshot, names) } : {}),
  }
}

function toNormalChildren({ children }: AnyMachineSnapshot, names: Names): Record<string, NormalChild> {
  const normal: Record<string, NormalChild> = {}
  for (const [id, child] of Object.entries<AnyActorRef | undefined>(children)) {
    if (child === undefined) continue
    const { systemId } = child as AnyActorRef & { readonly systemId?: string } // not in the types of a reference
    normal[names.get(id) ?? id] = {
      src: child.src,
      ...(systemId === undefined ? {} : { systemId }),
      snapshot: toNormalSnapshot(child.getSnapshot()),
    }
  }
  return normal
}

/** A copy in which a reference to an actor is the actor's id. */
function toNormalValue(value: unknown, names: Names): unknown {
  if (typeof value !== 'object' || value === null) return value
  if ('sessionId' in value && 'id' in value) return { actor: names.get(String(value.id)) ?? value.id }
  if (Array.isArray(value)) return value.map((item) => toNormalValue(item, names))
  if (value instanceof Map)
    return new Map([...value].map(([key, item]) => [toNormalValue(key, names), toNormalValue(item, names)]))
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, toNormalValue(item, names)]))
}

const toMessage = (error: unknown): unknown => (error instanceof Error ? error.message : error)

const isMachineSnapshot = (snapshot: Snapshot<unknown>): snapshot is AnyMachineSnapshot => 'machine' in snapshot
