import type { AnyActorRef, AnyMachineSnapshot } from 'xstate'
import { PerdureError } from '../errors.ts'

/**
 * What XState's `getPersistedSnapshot()` gives, without its walk over the whole context: actor references stay as they are and
 * become markers when (and only if) they are written. So the cost of a commit does not grow with the context (P6).
 */
export function readPersisted(actor: AnyActorRef): unknown {
  const snapshot: unknown = actor.getSnapshot()
  if (!isMachineSnapshot(snapshot)) return actor.getPersistedSnapshot()
  const children: Record<string, unknown> = {}
  for (const [id, child] of Object.entries<AnyActorRef | undefined>(snapshot.children)) {
    if (child === undefined) continue
    if (typeof child.src !== 'string')
      throw new PerdureError(
        'VALUE_NOT_STORABLE',
        `Cannot store the inline child actor \`${id}\` of \`${actor.id}\`: it could not be found again after a restart. Name its logic in \`setup({ actors })\` and use that name as \`src\`.`,
        { details: { path: ['children', id] } },
      )
    // Not in the types of a reference, but what XState's own getPersistedSnapshot reads.
    const { systemId, _syncSnapshot: syncSnapshot } = child as AnyActorRef & { systemId?: string; _syncSnapshot?: boolean }
    children[id] = { snapshot: readPersisted(child), src: child.src, systemId, syncSnapshot }
  }
  const { status, output, error, value, context } = snapshot
  return { status, output, error, value, context, historyValue: toHistory(snapshot.historyValue), children }
}

const isMachineSnapshot = (value: unknown): value is AnyMachineSnapshot =>
  typeof value === 'object' && value !== null && 'machine' in value && 'children' in value

function toHistory(history: AnyMachineSnapshot['historyValue']): unknown {
  return Object.fromEntries(Object.entries(history ?? {}).map(([key, nodes]) => [key, nodes.map(({ id }) => ({ id }))]))
}
