import { z } from 'zod'
import { isPerdureError } from '../errors.ts'
import { headsWithin, toRunId } from '../persistence/keys.ts'
import { type Head, loadHead } from '../persistence/run-log.ts'
import { loadSnapshotLog } from '../persistence/snapshots.ts'
import type { Store } from '../persistence/store.ts'
import { parseRecorded } from '../runtime/recorded.ts'
import { toNotFound } from '../runtime/run-errors.ts'
import { Spend } from '../runtime/spend.ts'
import type { ErrorText } from './management.ts'

/** What heads of all kinds hold that is shown. */
const HeadData = z.looseObject({
  spend: Spend.optional(),
  childSpend: Spend.optional(),
  turnSpend: Spend.optional(),
  /** Of a conversation. */
  turns: z.number().optional(),
  parent: z.string().optional(),
  fork: z.looseObject({ run: z.string(), createdAt: z.number(), turn: z.number() }).optional(),
  /** Of a flow. */
  attempt: z.number().optional(),
  reason: z.string().optional(),
  missing: z.array(z.string()).optional(),
  error: z.unknown().optional(),
})
export type HeadData = z.output<typeof HeadData>

/** Errors: `RUN_CORRUPT`. */
export const readHeadData = (head: Head): HeadData => parseRecorded(HeadData, head.data, head.id, 'head')

/** Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
export async function readHead(store: Store, id: string): Promise<Head> {
  const head = await loadHead(store, id)
  if (head === undefined) throw toNotFound(id)
  return head
}

/** The heads of the runs whose id begins with `<id>/`, in the order of their ids. Errors: `RUN_CORRUPT`. */
export async function* readHeadsWithin(store: Store, id: string): AsyncGenerator<Head> {
  for await (const [key] of store.entries(headsWithin(id))) {
    const head = await loadHead(store, toRunId(key))
    if (head !== undefined) yield head // deleted meanwhile
  }
}

const MAX_TRIES = 8

/** The head and the snapshot of a run as one commit left them, also while its owner goes on. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
export async function readSnapshot(store: Store, id: string): Promise<{ readonly head: Head; readonly value: unknown }> {
  for (let tries = 1; ; tries++) {
    const head = await readHead(store, id)
    try {
      const { value } = await loadSnapshotLog(store, id, head.snapshot)
      return { head, value }
    } catch (error) {
      if (!isPerdureError(error, 'RUN_CORRUPT') || tries === MAX_TRIES) throw error
      const { snapshot } = await readHead(store, id)
      if (snapshot.seq === head.snapshot.seq && snapshot.checksum === head.snapshot.checksum) throw error // nobody wrote meanwhile
    }
  }
}

/** What is recorded of an actor, as far as it is shown. */
export interface StoredActor {
  readonly value?: unknown
  readonly context?: unknown
  readonly output?: unknown
  readonly children?: Readonly<Record<string, { readonly snapshot?: unknown }>> | undefined
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null

/** The actor of a run's snapshot; its fields may hold anything. */
export const toStoredActor = (snapshot: unknown): StoredActor =>
  isObject(snapshot) && isObject(snapshot.actor) ? (snapshot.actor as StoredActor) : {} // each field is looked at before it is used

export function toErrorText(error: unknown): ErrorText {
  const { code, message } = isObject(error) ? (error as { readonly code?: unknown; readonly message?: unknown }) : {}
  return {
    code: typeof code === 'string' ? code : undefined,
    message: typeof message === 'string' ? message : String(error),
  }
}
