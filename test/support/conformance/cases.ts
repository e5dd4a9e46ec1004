import type { ConformanceCase } from './case.ts'
import { childLogicCases } from './cases/child-logic.ts'
import { childMachineCases } from './cases/child-machines.ts'
import { decisionCases } from './cases/decisions.ts'
import { departureCases } from './cases/departures.ts'
import { failureCases } from './cases/failures.ts'
import { historyCases } from './cases/history.ts'
import { promiseCases } from './cases/promises.ts'
import { referenceCases } from './cases/references.ts'
import { stateCases } from './cases/states.ts'
import { timerCases } from './cases/timers.ts'
import { valueCases } from './cases/values.ts'

/** The features of XState 5, each in a machine of its own. */
export const conformanceCases: readonly ConformanceCase[] = [
  ...stateCases,
  ...historyCases,
  ...decisionCases,
  ...timerCases,
  ...childMachineCases,
  ...referenceCases,
  ...departureCases,
  ...childLogicCases,
  ...promiseCases,
  ...valueCases,
  ...failureCases,
]
