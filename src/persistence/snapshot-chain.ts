import { z } from 'zod'
import { isPerdureError, PerdureError } from '../errors.ts'
import { assertShape, decodeRecord, decodeStorable, encodeStorable, readChecksum } from './codec.ts'
import type { Delta, NamedStep } from './delta.ts'
import { baseKey, deltaKey, deltaRange, keptKey, stepKey } from './keys.ts'
import { createPatcher } from './patch.ts'
import type { ChainEnd, StepRecord } from './run-record.ts'
import type { Operation, Store } from './store.ts'

/** What of a store is needed to read it. */
export type StoreReader = Pick<Store, 'get' | 'getMany' | 'entries'>

/** One record of the chain that a run's snapshot is. */
export interface Link {
  /** Number of the record in its chain; the base has the number of the last delta it took in. */
  readonly seq: number
  /** Checksum of the record before; 0 for a base. */
  readonly after: number
  readonly delta: Delta
  /** The snapshot as a base would be this many bytes: it was measured, and the chain was not yet twice that. */
  readonly size?: number
  /** Of a base: what its delta is upon. */
  readonly taken?: Taken
}

/** What the snapshot of a fork takes of its origin's: the list at `path`, as it was at `end`, up to `length` (none: all of it). */
export interface Taken {
  readonly run: string
  readonly end: ChainEnd
  readonly path: readonly string[]
  readonly length?: number | undefined
}

/** How large the chain is, and how large the snapshot. */
export interface ChainSize {
  readonly bytes: number
  /** The snapshot as a base, when it was last measured; 0 while there is no chain. */
  readonly snapshotBytes: number
  /** The chain at that time. */
  readonly measuredAt: number
}

export const NO_CHAIN: ChainSize = { bytes: 0, snapshotBytes: 0, measuredAt: 0 }

export const toBroken = (run: string, what: string, cause?: unknown): PerdureError =>
  new PerdureError(
    'RUN_CORRUPT',
    `The snapshot of run \`${run}\` is damaged: ${what}. Other runs are not touched. Restore the store from a backup, or start the run anew under another id.`,
    { cause, details: { run } },
  )

/** Nothing but a value at its place. */
export const toSkeleton = (path: readonly string[], value: unknown): unknown =>
  path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value)

/** The first `length` items of the list at `path`, or all. Errors: `RUN_CORRUPT`, of that run. */
export function readList(run: string, value: unknown, path: readonly string[], length?: number): readonly unknown[] {
  const list = path.reduce<unknown>((inner, key) => (inner as Readonly<Record<string, unknown>> | undefined)?.[key], value)
  if (!Array.isArray(list) || list.length < (length ?? 0))
    throw toBroken(run, `it has no list of ${length ?? 'any number of'} items at \`${path.join('.')}\``)
  return length === undefined ? list : list.slice(0, length)
}

/** What is in the patch shows when it is applied. */
const LinkSchema = z.looseObject({
  seq: z.number(),
  after: z.number(),
  delta: z.looseObject({
    patch: z.array(z.unknown()).nullable(),
    references: z.array(z.tuple([z.array(z.unknown()), z.array(z.unknown())])),
    steps: z.array(z.tuple([z.array(z.unknown()), z.string(), z.array(z.string()), z.number()])).optional(),
  }),
  size: z.number().optional(),
  taken: z
    .looseObject({
      run: z.string(),
      end: z.looseObject({ seq: z.number(), checksum: z.number(), base: z.number().optional() }),
      path: z.array(z.string()),
      length: z.number().optional(),
    })
    .optional(),
})

/** Errors: whatever the bytes are, `RUN_CORRUPT` or `STORE_FORMAT_NEWER`. */
export function decodeLink(key: string, bytes: Uint8Array): Link {
  const link = decodeStorable(key, bytes)
  assertShape(LinkSchema, key, link)
  return link as Link // the schema names every field that it requires
}

/** A record of a chain that is being read. */
interface ReadLink {
  readonly key: string
  readonly bytes: Uint8Array
  readonly link: Link
  /** The steps that it names, each with the checksum of its record. */
  readonly named: ReadonlyMap<string, number>
}

/** What a chain holds. */
interface ReadChain {
  readonly value: unknown
  readonly size: ChainSize
  /** The number of its base. */
  readonly base: number
}

/** How many records of a chain are read at a time, with the steps that they name. */
const PAGE = 256

/**
 * Reads the chain that ends at `expected`. `isOwn`: it is all that the run has; that of an origin ends where it did when it was forked, and the steps that it names may have been
 * moved since. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`.
 */
export async function readChain(store: StoreReader, run: string, expected: ChainEnd, isOwn = true): Promise<ReadChain> {
  let patcher = createPatcher(undefined)
  let size = NO_CHAIN
  let end: ChainEnd | undefined
  const broken = (what: string): PerdureError => toBroken(run, what)
  const reading = <T>(key: string, read: () => T): T => {
    try {
      return read()
    } catch (error) {
      if (isPerdureError(error) && (error.code !== 'RUN_CORRUPT' || error.details.run === run)) throw error
      throw toBroken(run, `its record \`${key}\` cannot be read`, error)
    }
  }
  const decode = (key: string, bytes: Uint8Array): ReadLink =>
    reading(key, () => {
      const link = decodeLink(key, bytes)
      return { key, bytes, link, named: new Map((link.delta.steps ?? []).map(([, step, , checksum]) => [step, checksum])) }
    })

  const readSteps = async (links: readonly ReadLink[]): Promise<ReadonlyMap<string, Uint8Array | undefined>> => {
    const named = new Map(links.flatMap((link) => [...link.named]))
    const steps = [...named.keys()]
    const found = steps.length === 0 ? [] : await store.getMany(steps.map((step) => stepKey(run, step)))
    const records = new Map(steps.map((step, index) => [step, found[index]]))
    if (isOwn) return records
    for (const [step, checksum] of named) {
      const bytes = records.get(step)
      if (bytes !== undefined && readChecksum(bytes) === checksum) continue
      records.set(step, (await store.get(keptKey(run, step, checksum))) ?? bytes)
    }
    return records
  }

  const readNamed = (records: ReadonlyMap<string, Uint8Array | undefined>, [, step, path, checksum]: NamedStep): unknown => {
    const key = stepKey(run, step)
    const bytes = records.get(step)
    if (bytes === undefined) throw broken(`the record \`${key}\` that it names is missing`)
    const record = reading(key, () => decodeRecord(key, bytes) as StepRecord)
    if (readChecksum(bytes) !== checksum) throw broken(`the record \`${key}\` that it names is not the one that it named`)
    return path.reduce((value: unknown, part) => (value as Record<string, unknown>)[part], record.value)
  }

  const apply = async (links: readonly ReadLink[]): Promise<void> => {
    const records = await readSteps(links)
    for (const { key, bytes, link, named } of links)
      reading(key, () => {
        const before = end
        if (before !== undefined && link.seq !== before.seq + 1) throw broken(`record ${before.seq + 1} of it is missing`)
        if (link.after !== (before?.checksum ?? 0)) throw broken(`record ${link.seq} of it does not follow the one before`)
        patcher.apply(
          link.delta,
          (link.delta.steps ?? []).map((step) => readNamed(records, step)),
        )
        let chainBytes = size.bytes + bytes.byteLength
        for (const step of named.keys()) chainBytes += records.get(step)?.byteLength ?? 0
        const snapshotBytes = before === undefined && link.taken === undefined ? bytes.byteLength : link.size
        size =
          snapshotBytes === undefined
            ? { ...size, bytes: chainBytes }
            : { bytes: chainBytes, snapshotBytes, measuredAt: chainBytes }
        end = { seq: link.seq, checksum: readChecksum(bytes) }
      })
  }

  const place = expected.base === undefined ? baseKey(run) : deltaKey(run, expected.base)
  const base = await store.get(place)
  if (base === undefined) throw broken('its base record is missing')
  const first = decode(place, base)
  if (first.link.taken !== undefined) {
    const taken = await readTaken(store, run, first.link.taken)
    patcher = createPatcher(taken.value)
    size = { ...NO_CHAIN, bytes: taken.bytes }
  }
  let links: ReadLink[] = [first]
  const { seq } = first.link
  for await (const [key, bytes] of store.entries(deltaRange(run, seq + 1, isOwn ? undefined : expected.seq))) {
    if (links.push(decode(key, bytes)) < PAGE) continue
    await apply(links)
    links = []
  }
  await apply(links)
  if (end?.seq !== expected.seq || end.checksum !== expected.checksum)
    throw broken(`it ends at record ${end?.seq} instead of ${expected.seq}`)
  return { value: patcher.value, size, base: seq }
}

/** What a fork takes of its origin, and how large the chain is that it takes it of. */
async function readTaken(
  store: StoreReader,
  run: string,
  { run: origin, end, path, length }: Taken,
): Promise<{ readonly value: unknown; readonly bytes: number }> {
  const { value, size } = await readChain(store, origin, end, false).catch((error: unknown) => {
    if (!isPerdureError(error, 'RUN_CORRUPT')) throw error
    throw toBroken(run, `what it took of run \`${origin}\` cannot be read`, error)
  })
  return { value: toSkeleton(path, readList(run, value, path, length)), bytes: size.bytes }
}

/** The keys of the steps that a record of a chain names. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export function readNamedSteps(run: string, key: string, bytes: Uint8Array): readonly string[] {
  const { delta } = decodeLink(key, bytes)
  return (delta.steps ?? []).map(([, step]) => stepKey(run, step))
}

/**
 * A chain, from its base on, as that of another run. `checksumOf`: of the record of a step, by its key, as it is there. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`.
 *
 * @returns what writes it, and the checksum that it ends with.
 */
export function moveChain(
  chain: readonly (readonly [key: string, bytes: Uint8Array])[],
  to: string,
  checksumOf: (step: string) => number,
): { readonly operations: readonly Operation[]; readonly checksum: number } {
  let checksum = 0
  const operations = chain.map(([key, bytes], index): Operation => {
    const { delta, ...link } = decodeLink(key, bytes)
    const steps = delta.steps?.map(([target, step, path]): NamedStep => [target, step, path, checksumOf(stepKey(to, step))])
    const place = index === 0 ? baseKey(to) : deltaKey(to, link.seq)
    const moved: Link = { ...link, after: checksum, delta: { ...delta, ...(steps && { steps }) } }
    const value = encodeStorable(place, moved, steps === undefined ? 1 : 2)
    checksum = readChecksum(value)
    return { type: 'put', key: place, value }
  })
  return { operations, checksum }
}

/** The steps that records of a chain name, by the keys of their records, and where each is kept when it goes. */
export async function findNamedSteps(
  store: StoreReader,
  run: string,
  isWanted: (key: string) => boolean,
): Promise<ReadonlyMap<string, { readonly key: string; readonly checksum: number }>> {
  const named = new Map<string, { readonly key: string; readonly checksum: number }>()
  for await (const [key, bytes] of store.entries(deltaRange(run))) {
    if (!isWanted(key)) continue
    try {
      for (const [, step, , checksum] of decodeLink(key, bytes).delta.steps ?? [])
        named.set(stepKey(run, step), { key: keptKey(run, step, checksum), checksum })
    } catch (error) {
      if (!isPerdureError(error, 'RUN_CORRUPT')) throw error // nobody can read it any more
    }
  }
  return named
}
