/** Time on a line, on which long times of nothing are short. */

export interface Span {
  readonly from: number
  readonly to: number
}

/** Where a stretch of time is on the line, from 0 to 1. */
interface Stretch extends Span {
  readonly start: number
  readonly end: number
  /** Nothing happened in it, and it is drawn shorter than it was. */
  readonly isGap: boolean
}

export interface TimelineScale {
  readonly stretches: readonly Stretch[]
  /** From 0 to 1. */
  readonly place: (at: number) => number
}

/** A gap is cut when it is longer than this share of the time in which something happened. */
const LONG_GAP = 0.25
const GAP_WIDTH = 0.06

export function createTimelineScale(spans: readonly Span[]): TimelineScale {
  const busy: { from: number; to: number }[] = []
  for (const { from, to } of spans.toSorted((a, b) => a.from - b.from)) {
    const last = busy.at(-1)
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to)
    else busy.push({ from, to: Math.max(to, from) })
  }
  const total = Math.max(
    1,
    busy.reduce((sum, { from, to }) => sum + to - from, 0),
  )
  const parts: (Span & { readonly isGap: boolean })[] = []
  for (const part of busy) {
    const last = parts.at(-1)
    if (last !== undefined && part.from > last.to)
      parts.push({ from: last.to, to: part.from, isGap: part.from - last.to > Math.max(LONG_GAP * total, 2_000) })
    parts.push({ ...part, isGap: false })
  }
  const gaps = parts.filter(({ isGap }) => isGap).length
  const gapWidth = Math.min(GAP_WIDTH, 0.4 / Math.max(1, gaps))
  const real = Math.max(
    1,
    parts.reduce((sum, { from, to, isGap }) => (isGap ? sum : sum + to - from), 0),
  )
  const perMs = (1 - gaps * gapWidth) / real
  let start = 0
  const stretches = parts.map(({ from, to, isGap }): Stretch => {
    const end = start + (isGap ? gapWidth : (to - from) * perMs)
    const stretch = { from, to, start, end, isGap }
    start = end
    return stretch
  })
  return {
    stretches,
    place(at) {
      const stretch = stretches.find(({ to }) => at <= to) ?? stretches.at(-1)
      if (stretch === undefined) return 0
      const share = stretch.to === stretch.from ? 0 : (at - stretch.from) / (stretch.to - stretch.from)
      return stretch.start + Math.min(1, Math.max(0, share)) * (stretch.end - stretch.start)
    },
  }
}
