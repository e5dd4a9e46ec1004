import assert from 'node:assert/strict'
import { isPerdureError } from 'perdure'
import { type CrashReport, type CrashSubject, type ExploreOptions, exploreCrashes } from 'perdure/testing'

/** The report of what `exploreCrashes` fails with. */
export async function findCrashes(subject: CrashSubject | URL, options?: ExploreOptions): Promise<CrashReport> {
  try {
    await exploreCrashes(subject, options)
  } catch (error) {
    if (!isPerdureError(error, 'CRASH_FOUND')) throw error
    return error.details.report as CrashReport // see docs/errors.md
  }
  return assert.fail('nothing was found')
}

/** What was found to be wrong, by its kind. */
export const toCounts = ({ repeatedCalls, doubledEffects, lostEvents, divergedStates, stuckRuns }: CrashReport) => ({
  repeatedCalls,
  doubledEffects,
  lostEvents,
  divergedStates,
  stuckRuns,
})

export const nothing = { repeatedCalls: 0, doubledEffects: 0, lostEvents: 0, divergedStates: 0, stuckRuns: 0 }
