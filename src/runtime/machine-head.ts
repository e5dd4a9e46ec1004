import { z } from 'zod'
import type { Head } from '../persistence/run-log.ts'
import { parseRecorded } from './recorded.ts'
import { Spend } from './spend.ts'

/** What the head of a machine's run holds besides what all heads do. */
const HeadData = z.object({
  /** The version of the machine that wrote its snapshot: as declared, and a hash of its structure. */
  version: z.object({ declared: z.string().optional(), structure: z.string() }),
  inputHash: z.string(),
  /** Why it failed. */
  error: z.unknown().optional(),
  /** Why it was cancelled. */
  reason: z.string().optional(),
  /** What its calls have cost in all. Without: it has made none. */
  spend: Spend.optional(),
  /** What of `spend` agents paid that work for its calls: it is in their heads too. */
  childSpend: Spend.optional(),
  /** Why it is incompatible: what its machine no longer has. */
  missing: z.array(z.string()).optional(),
})
export type MachineHead = Readonly<z.output<typeof HeadData>>

export const MACHINE = 'machine'

/** Errors: `RUN_CORRUPT`. */
export const readMachineHead = ({ data, id }: Head): MachineHead => parseRecorded(HeadData, data, id, 'head')
