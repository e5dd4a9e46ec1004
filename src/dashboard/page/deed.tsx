/** What a person does to the store: one at a time, and what went wrong is said where it was done. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { announce } from './announcement.tsx'
import { touchRun } from './run-index.ts'
import { reload } from './run-store.ts'

export interface Deed {
  readonly isBusy: boolean
  readonly error: string | undefined
  /** `done`: what is said when it is on disk. Resolves to whether it is. */
  readonly run: (runId: string, action: () => Promise<unknown>, done: string) => Promise<boolean>
}

export function useDeed(): Deed {
  const isBusy = useSignal(false)
  const error = useSignal<string | undefined>(undefined)
  return {
    isBusy: isBusy.value,
    error: error.value,
    async run(runId, action, done) {
      isBusy.value = true
      error.value = undefined
      try {
        await action()
        announce(done)
        return true
      } catch (thrown) {
        error.value = thrown instanceof Error ? thrown.message : String(thrown)
        return false
      } finally {
        isBusy.value = false
        if (runId !== '') touchRun(runId)
        void reload()
      }
    },
  }
}

export const DeedError = ({ deed }: { readonly deed: Deed }): ComponentChildren =>
  deed.error === undefined ? null : (
    <p class="deed-error" role="alert">
      {deed.error}
    </p>
  )
