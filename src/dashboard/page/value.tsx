import { Text } from './text.tsx'

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Values of one line are not folded up. */
const isPlain = (value: unknown): boolean => typeof value !== 'object' || value === null || Object.keys(value).length === 0

const MAX_ITEMS = 200

/** Any value, as a tree that can be opened. `open`: how many levels are, at first. */
export function Value({ value, open = 1 }: { readonly value: unknown; readonly open?: number }) {
  if (value === undefined) return <span class="value-none">nothing</span>
  if (value === null) return <span class="value-none">null</span>
  if (typeof value === 'string') return <Text text={value} mono />
  if (typeof value !== 'object') return <span class="value-scalar">{String(value)}</span>
  const [name, special] = toSpecial(value)
  if (name !== undefined && (typeof special !== 'object' || special === null))
    return (
      <span class="value-scalar">
        <span class="value-kind">{name}</span> <Text text={String(special)} mono />
      </span>
    )
  const shown = name === undefined ? value : special
  const entries = Object.entries(shown as object)
  if (entries.length === 0) return <span class="value-none">{Array.isArray(shown) ? '[ ]' : '{ }'}</span>
  return (
    <div class="value-tree">
      {name !== undefined && <span class="value-kind">{name}</span>}
      {entries.slice(0, MAX_ITEMS).map(([key, field]) => (
        <Field key={key} name={key} value={field} open={open} />
      ))}
      {entries.length > MAX_ITEMS && <p class="quiet">and {entries.length - MAX_ITEMS} more</p>}
    </div>
  )
}

function Field({ name, value, open }: { readonly name: string; readonly value: unknown; readonly open: number }) {
  if (isPlain(value) || toSpecial(value)[0] !== undefined)
    return (
      <div class="value-field">
        <span class="value-name">{name}</span>
        <Value value={value} open={open - 1} />
      </div>
    )
  return (
    <details class="value-field" open={open > 1}>
      <summary>
        <span class="value-name">{name}</span>
        <span class="quiet">{toGist(value)}</span>
      </summary>
      <Value value={value} open={open - 1} />
    </details>
  )
}

const toGist = (value: unknown): string =>
  Array.isArray(value)
    ? `${value.length} ${value.length === 1 ? 'item' : 'items'}`
    : Object.keys(value as object)
        .slice(0, 4)
        .join(', ')

/** What JSON has no word for: `{ $map: … }` and the like. */
function toSpecial(value: unknown): readonly [name: string | undefined, special: unknown] {
  if (!isRecord(value)) return [undefined, undefined]
  const [first, ...others] = Object.keys(value)
  return first?.startsWith('$') === true && others.length === 0 ? [first.slice(1), value[first]] : [undefined, undefined]
}

/** A text that a model wrote as arguments: as values if it is JSON. */
export function Arguments({ text }: { readonly text: string }) {
  const parsed = parse(text)
  return parsed === undefined ? <Text text={text} mono /> : <Value value={parsed} open={2} />
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
