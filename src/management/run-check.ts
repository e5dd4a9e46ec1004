import { isPerdureError, type PerdureError, toMessage } from '../errors.ts'
import { decodeRecord } from '../persistence/codec.ts'
import {
  baseKey,
  deltaRange,
  eventKey,
  keptRange,
  questionKey,
  recordRange,
  stepKey,
  toDeltaSeq,
  toStep,
} from '../persistence/keys.ts'
import { type Head, parseStep, type StepRecord } from '../persistence/run-record.ts'
import { readChain, readNamedSteps, type StoreReader } from '../persistence/snapshot-chain.ts'
import { readInline } from '../persistence/snapshots.ts'
import type { Store } from '../persistence/store.ts'
import { MACHINE, readMachineHead } from '../runtime/machine-head.ts'
import { isQuestion } from '../runtime/questions.ts'
import { parseTaken, TAKEN, TAKEN_KEYS } from '../runtime/taken-record.ts'
import { parseTurn } from '../runtime/turn-record.ts'
import type { Finding } from './finding.ts'
import { readHeadData, readSnapshot } from './reading.ts'
import type { Entry } from './scan.ts'

/** What of a head its other records are compared with. */
export type HeadFacts = Pick<Head, 'steps' | 'snapshot'>

/** Checks a head that could be read, and the snapshot that is in it. */
export async function* checkHead(key: string, head: Head): AsyncGenerator<Finding, void, void> {
  const { id: run, kind } = head
  try {
    if (kind === MACHINE) readMachineHead(head)
    else readHeadData(head)
    if (head.snapshot.inline !== undefined) readInline(run, head.snapshot.inline)
  } catch (error) {
    yield toDamage(error, { kind: 'head', run, key })
  }
}

/** Checks what a run has under its own keys. It is given all of it, in the order of the keys. */
export interface RunCheck {
  take(entry: Entry): Generator<Finding, void, void>
  end(): AsyncGenerator<Finding, void, void>
}

/**
 * `head`: undefined where there is none that can be read; then each record is checked for itself. `isListed`: whether a question of the run is in the index, asked once
 * for each that is open.
 */
export function createRunCheck(
  store: Store | undefined,
  run: string,
  head: HeadFacts | undefined,
  isListed: (question: string) => boolean,
): RunCheck {
  const chain: Entry[] = []
  /** The keys of the steps that the chain names, and their records. */
  const named = new Set<string>()
  const records = new Map<string, Uint8Array>()
  const places = {
    base: baseKey(run),
    deltas: deltaRange(run).gte,
    kept: keptRange(run).gte,
    steps: stepKey(run, ''),
    events: eventKey(run, ''),
  }
  let steps = 0
  let isWhole = true

  function* takeStep(entry: Entry): Generator<Finding, void, void> {
    const [key, bytes] = entry
    steps += 1
    if (named.has(key)) records.set(key, bytes)
    let record: StepRecord
    try {
      record = parseStep(run, key, bytes)
      if (record.kind === 'turn') parseTurn(run, record)
      else if (record.kind === TAKEN) parseTaken(run, record)
    } catch (error) {
      isWhole = false
      isListed(toStep(run, key)) // it may be open: its entry leads somewhere
      const isTaken = toStep(run, key).startsWith(TAKEN_KEYS) // only a replay misses it
      yield toDamage(error, { kind: 'step', run, key }, isTaken ? 'part' : 'run')
      return
    }
    if (!isQuestion(record) || record.status !== 'intended' || isListed(toStep(run, key))) return
    const what = `The question \`${record.name}\` is open and not in the index: it is not listed; the run itself goes on`
    yield { kind: 'indexMissing', run, key: questionKey(run, toStep(run, key)), what, costs: 'part', isRemovable: false }
  }

  const takeLink = (entry: Entry): void => {
    chain.push(entry)
    try {
      for (const step of readNamedSteps(run, ...entry)) named.add(step)
    } catch (error) {
      if (!isPerdureError(error)) throw error // told of when the chain is read
    }
  }

  /** That it is there says that the event was taken. */
  function* checkEvent([key, bytes]: Entry): Generator<Finding, void, void> {
    try {
      decodeRecord(key, bytes)
    } catch (error) {
      yield toDamage(error, { kind: 'message', run, key }, 'nothing')
    }
  }

  return {
    *take(entry) {
      const [key] = entry
      if (key === places.base || key.startsWith(places.deltas)) {
        if (head === undefined || isOwn(key, head.snapshot.base)) takeLink(entry)
      } else if (key.startsWith(places.steps)) yield* takeStep(entry)
      else if (key.startsWith(places.kept))
        return // what forks need is read with them
      else if (!key.startsWith(places.events)) yield toForeign(key, run)
      else yield* checkEvent(entry)
    },
    async *end() {
      if (head === undefined) return
      if (isWhole && steps !== head.steps) {
        const what = `Its journal has ${steps} records instead of ${head.steps}`
        yield { kind: 'journal', run, key: undefined, what, costs: 'run', isRemovable: false }
      }
      if (head.snapshot.inline !== undefined || head.snapshot.seq === 0) return
      try {
        await readChain(toReader(store ?? nothing, run, new Map([...chain, ...records])), run, head.snapshot)
      } catch (error) {
        const damage = toDamage(error, { kind: 'snapshot', run, key: undefined })
        if (store === undefined || !(await isReadable(store, run))) yield damage
      }
    },
  }
}

/** Whether a record of the chain of a run is its own: what comes before its base is left for forks. */
const isOwn = (key: string, base: number | undefined): boolean => base === undefined || (toDeltaSeq(key) ?? -1) >= base

/** The chain as it was read, with the steps that it names; what it took of other runs, as the store has it by now. */
function toReader(store: StoreReader, run: string, records: ReadonlyMap<string, Uint8Array>): StoreReader {
  const isOfRun = (key: string): boolean => key.startsWith(recordRange(run).gte)
  const get: StoreReader['get'] = async (key) => (isOfRun(key) ? records.get(key) : store.get(key))
  return {
    get,
    getMany: (keys) => Promise.all(keys.map(get)),
    async *entries(range) {
      if (!isOfRun(range.gte)) return yield* store.entries(range)
      for (const entry of records) if (entry[0] >= range.gte && entry[0] < range.lt) yield entry
    },
  }
}

const nothing: StoreReader = {
  get: async () => undefined,
  getMany: async (keys) => keys.map(() => undefined),
  async *entries() {},
}

/** Whether what did not fit together had only gone on meanwhile. Errors: those of `Store`. */
async function isReadable(store: Store, run: string): Promise<boolean> {
  try {
    await readSnapshot(store, run)
    return true
  } catch (error) {
    if (isPerdureError(error, 'RUN_NOT_FOUND')) return true
    if (isDamage(error)) return false
    throw error
  }
}

export const toForeign = (key: string, run?: string): Finding => ({
  kind: 'foreign',
  run,
  key,
  what: 'This version of perdure writes no record under this key',
  costs: 'nothing',
  isRemovable: false,
})

/** A record that cannot be used. Throws what says nothing about it. */
export function toDamage(error: unknown, at: Pick<Finding, 'kind' | 'run' | 'key'>, costs: Finding['costs'] = 'run'): Finding {
  if (!isDamage(error)) throw error
  const isNewer = error.code === 'STORE_FORMAT_NEWER'
  const key =
    at.key ?? (isPerdureError(error.cause) && typeof error.cause.details.key === 'string' ? error.cause.details.key : undefined)
  return { ...at, kind: isNewer ? 'newer' : at.kind, key, what: toFirstSentence(error), costs, isRemovable: false }
}

/** `STORE_CORRUPT`: where the record is, nothing can be read. */
const isDamage = (error: unknown): error is PerdureError =>
  (['RUN_CORRUPT', 'STORE_FORMAT_NEWER', 'STORE_CORRUPT'] as const).some((code) => isPerdureError(error, code))

/** What to do about it is said elsewhere. Keys have no spaces. */
function toFirstSentence(error: unknown): string {
  const inner = isPerdureError(error) && isPerdureError(error.cause) ? error.cause : error
  return toMessage(inner).split('. ')[0] ?? ''
}
