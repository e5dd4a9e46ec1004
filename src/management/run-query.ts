import { z } from 'zod'
import { assertRunId } from '../persistence/keys.ts'
import type { Head } from '../persistence/run-log.ts'
import type { RunQuery } from './management.ts'
import { readHeadData } from './reading.ts'

const Query = z.strictObject({
  status: z.enum(['running', 'completed', 'failed', 'cancelled', 'incompatible']).optional(),
  kind: z.enum(['machine', 'flow', 'agent']).optional(),
  name: z.string().optional(),
  ids: z.array(z.string()).optional(),
  updatedSince: z.number().optional(),
  hasPending: z.boolean().optional(),
  isTop: z.boolean().optional(),
  after: z.string().optional(),
  limit: z.int().min(0).optional(),
})

export interface ParsedQuery extends RunQuery {
  /** By what its head says. */
  readonly isWanted: (head: Head) => boolean
}

/** Errors: a `TypeError`, `RUN_ID_INVALID`. */
export function parseQuery(query: unknown = {}): ParsedQuery {
  const parsed = Query.safeParse(query)
  if (!parsed.success)
    throw new TypeError(`Expected a query such as \`{ status: 'failed', limit: 50 }\`: ${z.prettifyError(parsed.error)}`)
  const { status, kind, name, ids, updatedSince, isTop, after } = parsed.data
  for (const id of ids ?? []) assertRunId(id)
  if (after !== undefined) assertRunId(after)
  return {
    ...parsed.data,
    isWanted(head) {
      if (status !== undefined && head.status !== status) return false
      if (kind !== undefined && head.kind !== kind) return false
      if (name !== undefined && head.name !== name) return false
      if (updatedSince !== undefined && head.updatedAt < updatedSince) return false
      return isTop === undefined || (readHeadData(head).parent === undefined) === isTop
    },
  }
}
