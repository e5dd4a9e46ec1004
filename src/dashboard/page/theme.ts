import { signal } from '@preact/signals'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'perdure-theme'
const stored = localStorage.getItem(KEY)

export const theme = signal<Theme>(stored === 'light' || stored === 'dark' ? stored : 'system')

const dark = matchMedia('(prefers-color-scheme: dark)')

/** Whether it is dark now: what is drawn on a canvas has to know. */
export const isDark = signal(false)

function apply(): void {
  isDark.value = theme.value === 'dark' || (theme.value === 'system' && dark.matches)
  document.documentElement.dataset.theme = isDark.value ? 'dark' : 'light'
}
dark.addEventListener('change', apply)
theme.subscribe((value) => {
  localStorage.setItem(KEY, value)
  apply()
})
