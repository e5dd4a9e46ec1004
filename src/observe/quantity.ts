/** Made when it is first needed: making one takes milliseconds, and who logs nothing needs none. */
function lazyFormat(options: Intl.NumberFormatOptions): (amount: number) => string {
  let format: Intl.NumberFormat | undefined
  return (amount) => {
    format ??= new Intl.NumberFormat('en-US', options)
    return format.format(amount)
  }
}
const cents = lazyFormat({ minimumFractionDigits: 2, maximumFractionDigits: 2 })
const fractions = lazyFormat({ minimumFractionDigits: 4, maximumFractionDigits: 4 })
const tiny = lazyFormat({ maximumSignificantDigits: 2 })

/** `2,104`. */
export const toNumber = lazyFormat({ maximumFractionDigits: 0 })

/** `1 call`, `3 calls`, `2,104 tokens`. */
export function toCount(amount: number, noun: string): string {
  return `${toNumber(amount)} ${noun}${amount === 1 ? '' : 's'}`
}

/** US dollars, as precise as the amount is small: `$12.34`, `$0.42`, `$0.0042`, `$0.000012`. */
export function toMoney(usd: number): string {
  if (usd === 0) return '$0'
  if (usd >= 0.1) return `$${cents(usd)}`
  return `$${(usd >= 0.0001 ? fractions : tiny)(usd)}`
}

const pad = (part: number): string => String(part).padStart(2, '0')

/** `340 ms`, `12.3 s`, `2 min 05 s`, `1 h 02 min`, `3 d 4 h`. */
export function toDuration(durationMs: number): string {
  const ms = Math.max(0, durationMs)
  if (Math.round(ms) < 1_000) return `${Math.round(ms)} ms`
  if (Math.round(ms / 100) < 600) return `${(Math.round(ms / 100) / 10).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`
  const hours = Math.round(minutes / 60)
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}

const UNITS = ['KB', 'MB', 'GB', 'TB'] as const

/** `512 bytes`, `12.3 KB`, `1.4 GB`: of 1,000, as disks are sold. */
export function toBytes(bytes: number): string {
  let amount = bytes
  let unit = ''
  for (const next of UNITS) {
    if (amount < 999.95) break
    amount /= 1_000
    unit = next
  }
  return unit === '' ? toCount(amount, 'byte') : `${amount.toFixed(1)} ${unit}`
}
