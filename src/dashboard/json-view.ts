/** A value as a browser can show it. JSON has no word for much that is recorded: each gets an object of one field that begins with `$`. */

/** A text that was not sent as a whole: where it is in the value, and its length. */
interface CutText {
  readonly path: string
  readonly length: number
}

export interface JsonView {
  readonly value: unknown
  readonly cut: readonly CutText[]
}

/** A text up to this length is sent as it is. */
const MAX_TEXT = 64 * 1024
/** What a value may have in all before its other texts are cut to what can be read at a glance. */
const MAX_TOTAL = 4 * 1024 ** 2
const GLANCE = 512
const MAX_DEPTH = 200

/** `whole`: cut nothing. */
export function toJsonView(given: unknown, { whole = false }: { readonly whole?: boolean } = {}): JsonView {
  const cut: CutText[] = []
  const above = new Set<object>()
  let total = 0

  const toText = (text: string, path: string): string => {
    const limit = whole ? text.length : total > MAX_TOTAL ? GLANCE : MAX_TEXT
    const kept = text.length > limit ? text.slice(0, limit) : text
    if (kept.length < text.length) cut.push({ path, length: text.length })
    total += kept.length
    return kept.toWellFormed()
  }

  const toView = (value: unknown, path: string): unknown => {
    switch (typeof value) {
      case 'string':
        return toText(value, path)
      case 'number':
        return Number.isFinite(value) ? value : { $number: String(value) }
      case 'bigint':
        return { $bigint: value.toString() }
      case 'boolean':
        return value
      case 'undefined':
        return null
      case 'object':
        return value === null ? null : toObjectView(value, path)
      default:
        return { [`$${typeof value}`]: String(value) }
    }
  }

  const toObjectView = (value: object, path: string): unknown => {
    if (above.has(value) || above.size > MAX_DEPTH) return { $again: true }
    if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? 'invalid' : value.toISOString() }
    if (value instanceof RegExp) return { $regexp: String(value) }
    if (value instanceof ArrayBuffer) return { $bytes: toText(Buffer.from(value).toString('base64'), path) }
    if (ArrayBuffer.isView(value))
      return { $bytes: toText(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'), path) }
    above.add(value)
    try {
      if (Array.isArray(value)) return value.map((item, index) => toView(item, `${path}/${index}`))
      if (value instanceof Map)
        return { $map: [...value].map((pair, index) => pair.map((part) => toView(part, `${path}/${index}`))) }
      if (value instanceof Set) return { $set: [...value].map((item, index) => toView(item, `${path}/${index}`)) }
      const fields = Object.entries(value).filter(([, field]) => field !== undefined)
      const view = Object.fromEntries(fields.map(([name, field]) => [name, toView(field, `${path}/${name}`)]))
      return value instanceof Error ? { $error: { ...view, name: value.name, message: toText(value.message, path) } } : view
    } finally {
      above.delete(value)
    }
  }

  return { value: toView(given, ''), cut }
}
