const maxTextLength = 60

/**
 * A value as messages name it: `` `0` (number) ``. Strings are cut after 60 characters and objects are named by their kind only,
 * so that nothing large and nothing nested (a key, a password) reaches a message.
 */
export function toValueText(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return '`null`'
  switch (typeof value) {
    case 'string':
      return `\`${escapeText(value)}\` (string)`
    case 'bigint':
      return `\`${value}n\` (bigint)`
    case 'number':
    case 'boolean':
      return `\`${String(value)}\` (${typeof value})`
    case 'object':
      return Array.isArray(value) ? `an array of ${value.length}` : 'an object'
    default:
      return `a ${typeof value}`
  }
}

/** The error for a wrong argument: ``Expected `maxSteps` to be an integer ≥ 1, got `0` (number)``. */
export function toArgumentError(name: string, expected: string, value: unknown, cause?: unknown): TypeError {
  const message = `Expected \`${name}\` to be ${expected}, got ${toValueText(value)}`
  return new TypeError(message, cause === undefined ? undefined : { cause })
}

function escapeText(text: string): string {
  const cut = text.length > maxTextLength ? `${text.slice(0, maxTextLength)}…` : text
  return JSON.stringify(cut).slice(1, -1).replaceAll('\\"', '"')
}
