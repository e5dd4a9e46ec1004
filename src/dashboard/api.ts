import type { Management } from '../management/management.ts'
import { methods } from '../management/methods.ts'
import { diffRuns, type RunDiff } from '../replay/diff-runs.ts'
import { readExport } from '../replay/read-export.ts'

/** What the page can ask for: all that a {@link Management} does, and what is made of it here. */
export interface DashboardApi extends Management {
  /** How two runs differ: see `diffRuns`. Errors: those of `export`. */
  diff(a: string, b: string): Promise<RunDiff>
}

/** How each goes over HTTP. */
export const apiMethods = { ...methods, diff: 'value' } as const satisfies Readonly<Record<keyof DashboardApi, string>>

export type ApiMethod = keyof typeof apiMethods

export const isApiMethod = (name: string): name is ApiMethod => Object.hasOwn(apiMethods, name)

export function toDashboardApi(management: Management): DashboardApi {
  const read = (run: string) => readExport(management.export(run))
  return Object.assign(Object.create(management) as Management, {
    diff: async (a: string, b: string) => diffRuns(await read(a), await read(b)),
  })
}
