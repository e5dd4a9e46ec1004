/**
 * What forks need of the snapshots of other runs. A fork's base takes a list of its origin's snapshot, and is small; the records of the origin's chain up to there are
 * *pinned* (`p/<origin>/<fork>/<seq of the fork's base>`): they stay, though the origin writes a new base, is deleted, or begins anew under its id.
 *
 * 1. A pin goes to the disk in the batch that brings the base which needs it, and is as old as that.
 * 2. Whoever removes that base marks the pin as released, in the same batch; then {@link Pins.collect} removes what nobody needs, and the mark, in another. What a crash leaves
 *    between the two is found by the next opening. To remove a base that took something itself releases that too.
 * 3. The chain of an origin names steps of its journal (`recorded-values.ts`). One that the origin changes or that goes with it is kept under another key, with the bytes that
 *    it had, until the last pin of that run goes.
 * 4. The pins are in memory while a store is open: a run that writes a new base asks for them in the middle of a commit.
 */
import { z } from 'zod'
import { isPerdureError } from '../errors.ts'
import { decodeShaped, encodeRecord } from './codec.ts'
import { baseKey, deltaKey, deltaRange, headKey, keptRange, pinKey, pinRange, toDeltaSeq, toPin } from './keys.ts'
import { type ChainEnd, parseHead } from './run-record.ts'
import { decodeLink } from './snapshot-chain.ts'
import type { Operation, Store } from './store.ts'

/** The records of the chain of `run` that a base of `fork` needs: from `base` (none: its first) to `seq`. */
export interface Pin {
  readonly run: string
  readonly fork: string
  /** The number of the base in the chain of the fork. */
  readonly at: number
  readonly base?: number | undefined
  readonly seq: number
}

export interface Pins {
  /** Nothing is pinned or held. */
  readonly isEmpty: boolean
  /** The highest record of the run's chain that is pinned; 0: none is. */
  last(run: string): number
  /** Whether no record of the run's chain may be removed now. */
  isHeld(run: string): boolean
  /** Whether a new base of the run must leave the records before it where they are. */
  isPinned(run: string): boolean
  /** Whether a record of the run has to stay, as it is, when the run goes. */
  isNeeded(key: string, run: string): boolean
  /** From now on, until what is returned is called, no record of the run's chain is removed. */
  hold(run: string): () => void
  /** What puts a pin on the disk. It counts from the call on: take it back with {@link Pins.remove} if that fails. */
  add(pin: Pin): Operation
  remove(pin: Pin): void
  /** The marks for the pins whose base these operations remove. */
  toReleases(operations: readonly Operation[]): readonly Operation[]
  /** These operations are on disk. True: there is something for {@link Pins.collect}. */
  noteWritten(operations: readonly Operation[]): boolean
  /**
   * Removes what nobody needs any more of the chains whose pins were released, and of `run`, if it is given and nothing of it is pinned. Errors: those of `Store`.
   */
  collect(run?: string): Promise<void>
  /** One after the other: forking, deleting, collecting. */
  exclusive<T>(task: () => Promise<T>): Promise<T>
}

const ofStores = new WeakMap<Store, { readonly pins: StorePins; loading: Promise<void> | undefined }>()

type StorePins = Pins & { load(): Promise<void> }

/** The pins of a store as far as they are in memory: all, once {@link loadPins} was called. */
export function pinsOf(store: Store): Pins {
  return ofStore(store).pins
}

/** The pins of a store, read from it if they are not in memory. Errors: those of `Store`, `STORE_FORMAT_NEWER`. */
export async function loadPins(store: Store): Promise<Pins> {
  const known = ofStore(store)
  known.loading ??= known.pins.load().catch((error: unknown) => {
    known.loading = undefined
    throw error
  })
  await known.loading
  return known.pins
}

function ofStore(store: Store): { readonly pins: StorePins; loading: Promise<void> | undefined } {
  const known = ofStores.get(store) ?? { pins: createPins(store), loading: undefined }
  ofStores.set(store, known)
  return known
}

function createPins(store: Store): StorePins {
  const byRun = new Map<string, Set<Pin>>()
  /** The highest record of a run that is pinned: asked for at each commit. */
  const lasts = new Map<string, number>()
  /** By the record that needs them. */
  const byBase = new Map<string, Pin>()
  const released = new Set<Pin>()
  const held = new Map<string, number>()
  let last: Promise<unknown> = Promise.resolve()
  const exclusive: Pins['exclusive'] = (task) => {
    const result = last.then(task)
    last = result.catch(() => {})
    return result
  }

  const pinsOfRun = (run: string): ReadonlySet<Pin> => byRun.get(run) ?? NONE
  const put = (pin: Pin): void => {
    const pins = byRun.get(pin.run)
    if (pins === undefined) byRun.set(pin.run, new Set([pin]))
    else pins.add(pin)
    lasts.set(pin.run, Math.max(lasts.get(pin.run) ?? 0, pin.seq))
    byBase.set(deltaKey(pin.fork, pin.at), pin)
  }
  const remove = (pin: Pin): void => {
    const pins = byRun.get(pin.run)
    pins?.delete(pin)
    lasts.delete(pin.run)
    if (pins?.size === 0) byRun.delete(pin.run)
    else for (const { seq } of pins ?? []) lasts.set(pin.run, Math.max(lasts.get(pin.run) ?? 0, seq))
    const place = deltaKey(pin.fork, pin.at)
    if (byBase.get(place) === pin) byBase.delete(place)
    released.delete(pin)
  }
  const write = (pin: Pin, isReleased: boolean): Operation => {
    const key = pinKey(pin.run, pin.fork, pin.at)
    const { base, seq } = pin
    return { type: 'put', key, value: encodeRecord(key, { seq, ...(base === undefined ? {} : { base }), isReleased }) }
  }
  const releasedBy = (operations: readonly Operation[]): readonly Pin[] => {
    if (byBase.size === 0) return []
    return operations.flatMap(({ type, key }) => (type === 'del' ? (byBase.get(key) ?? []) : []))
  }

  /** Where the chain of the run itself begins; `undefined`: there is none. */
  const readOwn = async (run: string): Promise<ChainEnd | undefined> => {
    const bytes = await store.get(headKey(run))
    return bytes === undefined ? undefined : parseHead(run, headKey(run), bytes).snapshot
  }

  const collectRun = async (run: string): Promise<void> => {
    const over = [...pinsOfRun(run)].filter((pin) => released.has(pin))
    if (over.length === 0 && pinsOfRun(run).size > 0) return
    const needed: (readonly [base: number | undefined, seq: number])[] = []
    for (const pin of pinsOfRun(run)) if (!released.has(pin)) needed.push([pin.base, pin.seq])
    const isLast = needed.length === 0
    try {
      const own = await readOwn(run)
      if (own !== undefined && own.inline === undefined) needed.push([own.base, Number.POSITIVE_INFINITY])
    } catch (error) {
      if (!isPerdureError(error, 'RUN_CORRUPT') && !isPerdureError(error, 'STORE_FORMAT_NEWER')) throw error
      return // what it needs cannot be told
    }
    const operations: Operation[] = []
    const drop = (key: string): void => {
      if (!needed.some((range) => isWithin(run, key, range))) operations.push({ type: 'del', key })
    }
    if ((await store.get(baseKey(run))) !== undefined) drop(baseKey(run))
    for await (const [key] of store.entries(deltaRange(run))) drop(key)
    if (isLast) for await (const [key] of store.entries(keptRange(run))) operations.push({ type: 'del', key })
    const releases = toReleases(operations)
    for (const pin of over) operations.push({ type: 'del', key: pinKey(pin.run, pin.fork, pin.at) })
    if (operations.length > 0) await store.write([...operations, ...releases])
    for (const pin of over) remove(pin)
    noteWritten(operations)
  }

  const toReleases = (operations: readonly Operation[]): readonly Operation[] =>
    releasedBy(operations).map((pin) => write(pin, true))
  const noteWritten = (operations: readonly Operation[]): boolean => {
    for (const pin of releasedBy(operations)) released.add(pin)
    return released.size > 0
  }

  return {
    exclusive,
    get isEmpty() {
      return byRun.size === 0 && held.size === 0
    },
    last: (run) => lasts.get(run) ?? 0,
    isHeld: (run) => held.has(run),
    isPinned: (run) => held.has(run) || byRun.has(run),
    isNeeded(key, run) {
      const pins = [...pinsOfRun(run)]
      if (key.startsWith(keptRange(run).gte)) return pins.length > 0
      return pins.some(({ base, seq }) => isWithin(run, key, [base, seq]))
    },
    hold(run) {
      held.set(run, (held.get(run) ?? 0) + 1)
      return () => {
        const count = (held.get(run) ?? 1) - 1
        if (count === 0) held.delete(run)
        else held.set(run, count)
      }
    },
    add(pin) {
      put(pin)
      return write(pin, false)
    },
    remove,
    toReleases,
    noteWritten,
    async collect(run) {
      if (run !== undefined) await exclusive(() => collectRun(run))
      // What is removed of one chain may release what it took of another.
      for (;;) {
        const [next] = released
        if (next === undefined) return
        await exclusive(() => collectRun(next.run))
        if (released.has(next)) return // its head cannot be read
      }
    },
    async load() {
      for await (const [key, bytes] of store.entries(pinRange())) {
        const { run, fork, seq: at } = toPin(key)
        const stored = await readPin(store, key, bytes)
        if (stored === undefined) continue // nobody can read that fork any more
        const { base, seq, isReleased } = stored
        const pin: Pin = { run, fork, at, base, seq }
        put(pin)
        if (isReleased) released.add(pin)
      }
    },
  }
}

interface StoredPin {
  readonly base?: number | undefined
  readonly seq: number
  readonly isReleased: boolean
}
const PinSchema = z.looseObject({ base: z.number().optional(), seq: z.number(), isReleased: z.boolean() })

/** One that is damaged can be told from the base that needs it: no run is lost by that. Errors: `STORE_FORMAT_NEWER`, those of `Store`. */
async function readPin(store: Store, key: string, bytes: Uint8Array): Promise<StoredPin | undefined> {
  try {
    return decodeShaped(PinSchema, key, bytes) as StoredPin // the schema names every field
  } catch (error) {
    if (!isPerdureError(error, 'RUN_CORRUPT')) throw error
  }
  const { fork, seq } = toPin(key)
  const place = deltaKey(fork, seq)
  try {
    const base = await store.get(place)
    const taken = base && decodeLink(place, base).taken
    return taken && { base: taken.end.base, seq: taken.end.seq, isReleased: false }
  } catch (error) {
    if (!isPerdureError(error, 'RUN_CORRUPT')) throw error
    return undefined
  }
}

const NONE: ReadonlySet<Pin> = new Set()

/** Whether a record belongs to the chain of the run that begins at `base` and ends at `seq`. */
function isWithin(run: string, key: string, [base, seq]: readonly [base: number | undefined, seq: number]): boolean {
  if (key === baseKey(run)) return base === undefined
  const number = toDeltaSeq(key)
  return number !== undefined && number >= (base ?? 0) && number <= seq
}
