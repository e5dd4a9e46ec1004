/** The value of a machine's state as a person says it: `open`, `paying.card`, `a.x & b.y`. */
export function toStateText(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value !== 'object' || value === null) return ''
  return Object.entries(value)
    .map(([key, inner]) => {
      const text = toStateText(inner)
      if (text === '') return key
      return text.includes(' & ') ? `${key}.(${text})` : `${key}.${text}`
    })
    .join(' & ')
}

/** The keys, from the root, of the states that are active: `paying`, `paying.card`. */
export function toActivePaths(value: unknown, above = ''): readonly string[] {
  if (typeof value === 'string') return [above + value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => [above + key, ...toActivePaths(inner, `${above}${key}.`)])
}
