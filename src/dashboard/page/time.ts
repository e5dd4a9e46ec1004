import { signal } from '@preact/signals'

/** The time in epoch milliseconds, once a second: ages are told by it. */
export const now = signal(Date.now())
setInterval(() => {
  if (!document.hidden) now.value = Date.now()
}, 1_000)

const UNITS = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
] as const

/** `350 ms`, `4.2 s`, `12 min`, `3 h 20 min`. */
export function toDuration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`
  const index = UNITS.findIndex(([unit]) => ms >= unit)
  const [unit, name] = UNITS[index] ?? UNITS[2]
  const [part, partName] = UNITS[index + 1] ?? [1, '']
  const rest = Math.floor((ms % unit) / part)
  const text = `${Math.floor(ms / unit)} ${name}`
  return partName === '' || rest === 0 || ms >= 10 * unit ? text : `${text} ${rest} ${partName}`
}

/** `3 min ago`, `in 2 h`. */
export function toAge(at: number): string {
  const ms = now.value - at
  if (Math.abs(ms) < 1_500) return 'now'
  const text = toDuration(Math.round(Math.abs(ms) / 1_000) * 1_000).replace('.0 ', ' ')
  return ms > 0 ? `${text} ago` : `in ${text}`
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })

export const toClock = (at: number): string => clock.format(at)
export const toDateTime = (at: number): string => full.format(at)

/** The time of day if it is today, else with the date. */
export function toWhen(at: number): string {
  const isToday = new Date(at).toDateString() === new Date(now.value).toDateString()
  return isToday ? toClock(at) : toDateTime(at)
}
