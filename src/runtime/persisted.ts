import type { AnyActorRef, AnyMachineSnapshot, Snapshot } from 'xstate'
import { isWaitingStep } from '../actors/step.ts'
import { PerdureError } from '../errors.ts'
import { toStorable } from '../persistence/storable.ts'
import { toRecordedError } from './recorded-error.ts'

/**
 * What XState's `getPersistedSnapshot()` gives, and the names of children in their run (`sessionId`: references to them are kept by it), without its walk over the whole context: actor references stay as they are and
 * become markers when (and only if) they are written. So the cost of a commit does not grow with the context (P6).
 */
export function readPersisted(actor: AnyActorRef): unknown {
  const snapshot: unknown = actor.getSnapshot()
  if (!isMachineSnapshot(snapshot)) return toStorableFailure(actor.getPersistedSnapshot())
  let children: Record<string, unknown> | undefined
  for (const id in snapshot.children) {
    const child: AnyActorRef | undefined = snapshot.children[id]
    if (child === undefined) continue
    children ??= {}
    if (id === 'undefined' && child.id !== id)
      throw new PerdureError(
        'VALUE_NOT_STORABLE',
        `Cannot store the child actor that \`${actor.id}\` spawned without an id: XState keeps one of them only, and finds it under no name. Give \`spawnChild\` an \`id\`.`,
        { details: { path: ['children', id] } },
      )
    if (typeof child.src !== 'string')
      throw new PerdureError(
        'VALUE_NOT_STORABLE',
        `Cannot store the inline child actor \`${id}\` of \`${actor.id}\`: it could not be found again after a restart. Name its logic in \`setup({ actors })\` and use that name as \`src\`.`,
        { details: { path: ['children', id] } },
      )
    // Not in the types of a reference, but what XState's own getPersistedSnapshot reads.
    const { systemId, _syncSnapshot: syncSnapshot } = child as AnyActorRef & { systemId?: string; _syncSnapshot?: boolean }
    children[id] = { snapshot: readPersisted(child), src: child.src, systemId, syncSnapshot, sessionId: child.sessionId }
  }
  const { status, output, error, value, context, historyValue } = snapshot
  const history = toHistory(historyValue)
  return { status, output, error: toStorableError(error), value, context, historyValue: history, children: children ?? NONE }
}

/** The same object each time: nothing has changed. */
const NONE: Readonly<Record<string, never>> = Object.freeze({})

/** Whether a part of it goes on by itself: a promise, callback, observable or step that is under way. Machines and stores wait. */
export function hasLiveParts(actor: AnyActorRef): boolean {
  const snapshot: unknown = actor.getSnapshot()
  if ((snapshot as { readonly status: string }).status !== 'active') return false // any snapshot has one
  if (isWaitingStep(snapshot)) return false // for a person
  if (!isMachineSnapshot(snapshot)) return 'start' in (actor as AnyActorRef & { readonly logic: object }).logic
  for (const id in snapshot.children) {
    const child: AnyActorRef | undefined = snapshot.children[id]
    if (child !== undefined && hasLiveParts(child)) return true
  }
  return false
}

function toStorableFailure(persisted: Snapshot<unknown>): Snapshot<unknown> {
  return persisted.status === 'error' ? { ...persisted, error: toStorableError(persisted.error) } : persisted
}

const storableErrors = new WeakMap<object, unknown>()

/** What a machine threw need not be storable, and that it failed is to be recorded all the same. The same error gives the same value. */
function toStorableError(error: unknown): unknown {
  if (typeof error !== 'object' || error === null) return typeof error === 'function' ? toRecordedError(error) : error
  if (!storableErrors.has(error)) storableErrors.set(error, isStorable(error) ? error : toRecordedError(error))
  return storableErrors.get(error)
}

function isStorable(value: unknown): boolean {
  try {
    toStorable(value)
    return true
  } catch {
    return false
  }
}

const isMachineSnapshot = (value: unknown): value is AnyMachineSnapshot =>
  typeof value === 'object' && value !== null && 'machine' in value && 'children' in value

function toHistory(history: AnyMachineSnapshot['historyValue']): unknown {
  const entries = Object.entries(history ?? NONE)
  return entries.length === 0 ? NONE : Object.fromEntries(entries.map(([key, nodes]) => [key, nodes.map(({ id }) => ({ id }))]))
}
