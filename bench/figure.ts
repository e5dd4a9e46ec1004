/**
 * One line of the result. `ratio` is what the reach is about: `value` over `reference`; where there is no reference, over the reach itself.
 * A figure without a reach only tells.
 */
export interface Figure {
  readonly figure: string
  readonly value: number
  readonly unit: string
  /** What `value` is compared with, in the same unit, measured in the same run. */
  readonly reference?: number | undefined
  /** What the reference is, for the page. */
  readonly against?: string | undefined
  readonly ratio?: number | undefined
  /** What was set out to reach, in words; `ok` tells whether it was. */
  readonly reach?: string | undefined
  readonly ok?: boolean | undefined
  /** What bounds it, where it is missed. */
  readonly bounds?: string | undefined
}

interface Reference {
  readonly value: number
  readonly name: string
}

type Bound = { readonly atMost: number } | { readonly atLeast: number }

const isWithin = (bound: Bound, value: number): boolean => ('atMost' in bound ? value <= bound.atMost : value >= bound.atLeast)
const toWords = (bound: Bound): string => ('atMost' in bound ? `at most ${bound.atMost}` : `at least ${bound.atLeast}`)

/** A figure whose reach is a ratio to its reference. */
export function relative(figure: string, value: number, unit: string, reference: Reference, bound?: Bound): Figure {
  const ratio = value / reference.value
  const compared = { figure, value, unit, reference: reference.value, against: reference.name, ratio }
  return bound === undefined ? compared : { ...compared, reach: `${toWords(bound)} ×`, ok: isWithin(bound, ratio) }
}

/** A figure whose reach is a value. `against` may stand beside it. */
export function absolute(figure: string, value: number, unit: string, bound?: Bound, reference?: Reference): Figure {
  const ratio = reference === undefined ? undefined : value / reference.value
  const compared = { figure, value, unit, reference: reference?.value, against: reference?.name, ratio }
  return bound === undefined
    ? compared
    : { ...compared, reach: `${toWords(bound)} ${unit}`.trimEnd(), ok: isWithin(bound, value) }
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2
}

/** Three digits that count. */
export function toText(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toLocaleString('en-US', { maximumFractionDigits: Math.min(digits, 4) })
}
