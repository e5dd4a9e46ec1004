import { isPerdureError, type PerdureError } from '../errors.ts'
import type { KeyRange, Store } from '../persistence/store.ts'

export type Entry = readonly [key: string, value: Uint8Array]

/** A part of the store that cannot be read: something between two keys. */
export interface Gap {
  /** The last key before it; empty: there is none. */
  readonly after: string
  /** The first behind it; undefined: there is none. */
  readonly before: string | undefined
  readonly error: PerdureError
}

export const isGap = (item: Entry | Gap): item is Gap => 'error' in item

/** Behind all keys. Keys are ASCII. */
const END = '\u{10ffff}'
/** How many records are read at once to find out where the damage is. */
const SLICE = 256

/**
 * Everything in a store, in the order of the keys and as of one moment, then the {@link Gap}s. LevelDB passes over what it cannot read and says so when it comes to the end of what it
 * was asked for: so where there is damage everything is read a second time, slice by slice, and what is at the end comes from there. Errors: those of `Store` but `STORE_CORRUPT`.
 */
export async function* scanStore(store: Pick<Store, 'entries'>): AsyncGenerator<Entry | Gap, void, void> {
  let last = ''
  let gaps = 0
  try {
    for await (const entry of store.entries({ gte: '', lt: END })) {
      yield entry
      last = entry[0]
    }
    return
  } catch (error) {
    assertDamage(error)
    for await (const item of scanSlices(store)) {
      if (isGap(item)) gaps += 1
      if (isGap(item) || item[0] > last) yield item
    }
    if (gaps === 0) yield { after: '', before: undefined, error } // it was not there the second time
  }
}

async function* scanSlices(store: Pick<Store, 'entries'>): AsyncGenerator<Entry | Gap, void, void> {
  let last = ''
  let gap: Gap | undefined
  for (;;) {
    const slice = await read(store, { gte: `${last}\0`, lt: END, limit: SLICE })
    const end = isPerdureError(slice) ? undefined : slice.at(-1)?.[0]
    if (end !== undefined && !isPerdureError(slice) && !isPerdureError(await read(store, { gte: `${last}\0`, lt: end }))) {
      if (gap !== undefined) yield gap
      gap = undefined
      yield* slice
      last = end
      continue
    }
    for (let count = 0; count < SLICE; count += 1) {
      const next = await read(store, { gte: `${last}\0`, lt: END, limit: 1 })
      const [entry] = isPerdureError(next) ? [] : next
      const between = isPerdureError(next) ? next : entry && (await read(store, { gte: `${last}\0`, lt: entry[0] }))
      if (isPerdureError(between)) gap = { after: gap?.after ?? last, before: entry?.[0], error: between }
      else if (gap !== undefined) {
        yield gap
        gap = undefined
      }
      if (entry === undefined) {
        if (gap !== undefined) yield gap
        return
      }
      yield entry
      last = entry[0]
    }
  }
}

/** The error, if something there cannot be read: with a `limit`, only if nothing behind it can. */
async function read(store: Pick<Store, 'entries'>, range: KeyRange): Promise<readonly Entry[] | PerdureError> {
  const found: Entry[] = []
  try {
    for await (const entry of store.entries(range)) found.push(entry)
    return found
  } catch (error) {
    assertDamage(error)
    return error
  }
}

function assertDamage(error: unknown): asserts error is PerdureError {
  if (!isPerdureError(error, 'STORE_CORRUPT')) throw error
}
