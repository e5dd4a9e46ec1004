import { isPerdureError } from '../errors.ts'
import { decodeRecord } from '../persistence/codec.ts'
import { runKeyOf } from '../persistence/encrypted-store.ts'
import {
  endedKey,
  questionKey,
  toDeletion,
  toEnded,
  toInbox,
  toPin,
  toQuestion,
  toRunId,
  toWake,
  wakeKey,
} from '../persistence/keys.ts'
import { type Head, parseHead } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { toCorrupt } from '../runtime/recorded.ts'
import { readDropped } from './dropped.ts'
import type { Finding } from './finding.ts'
import { checkHead, createRunCheck, type HeadFacts, type RunCheck, toDamage, toForeign } from './run-check.ts'
import { type Entry, type Gap, isGap, scanStore } from './scan.ts'

type Findings = AsyncGenerator<Finding, void, void>

/**
 * Reads every record of a store, once and as of one moment, and tells what is wrong: checksums, formats, schemas, the chains of snapshots, the number of steps, indexes against heads and heads
 * against indexes, records of runs that there are not. Nothing is changed, and the store may be in use meanwhile. What is wrong with the store as a whole (a file that is missing, a format record that cannot be
 * read) shows when it is opened: `STORE_CORRUPT`.
 *
 * Of each run a few hundred bytes are in memory, and while it is read the snapshot and what that names. Errors: those of `Store`; a part that cannot be read is a finding.
 *
 * @example
 * ```ts
 * for await (const { run, what, costs } of verifyStore(store)) console.log(run, what, costs)
 * ```
 */
export async function* verifyStore(store: Store): Findings {
  let isLossy = false
  for await (const finding of readDropped(store.location)) {
    isLossy = true
    yield finding
  }
  const check = createStoreCheck(store, isLossy)
  for await (const item of scanStore(store)) {
    if (isGap(item)) yield* check.takeGap(item)
    else yield* check.take(item)
  }
  yield* check.end()
  for await (const run of store.lostKeys?.() ?? []) {
    const what = 'The key of a run of which nothing is left: what the disk or a copy still has of it can be read with that'
    yield { kind: 'orphan', run: decodeURIComponent(run), key: runKeyOf(run), what, costs: 'nothing', isRemovable: true }
  }
}

interface KnownHead extends HeadFacts {
  readonly isEnded: boolean
  /** When it is to be woken, until that is found in the index. */
  missingWake: number | undefined
  /** Something of it came under its own keys. */
  isSeen: boolean
}

/** Checks what it is given in the order of the keys. */
interface StoreCheck {
  take(entry: Entry): Findings
  takeGap(gap: Gap): Findings
  end(): Findings
}

/** `store`: where the rest is that a chain leads to. Default: all that there is is given to it. */
export function createStoreCheck(store?: Store, isLossy = false): StoreCheck {
  /** Undefined: the head cannot be read. */
  const heads = new Map<string, KnownHead | undefined>()
  /** Entries of indexes that no head or step has asked for yet. */
  const ended = new Set<string>()
  const questions = new Map<string, Set<string>>()
  /** Those that no head asks for. */
  const staleWakes: { readonly run: string; readonly key: string }[] = []
  const orphans = new Map<string, { readonly key: string; records: number; bytes: number }>()
  const deletions = new Set<string>()
  /** Runs of whose snapshots forks need records, also when they are gone. */
  const pinned = new Set<string>()
  const gaps: Gap[] = []
  let current: { readonly run: string; readonly check: RunCheck } | undefined

  /** Whether something that is not there may be in a part that cannot be read. */
  const isHidden = (key: string): boolean =>
    gaps.some(({ after, before }) => key > after && (before === undefined || key < before))
  const isComplete = (): boolean => gaps.length === 0 && !isLossy
  const isHeadKnown = (run: string): boolean => !heads.has(run) || heads.get(run) !== undefined
  const toStale = (run: string, key: string, what: string): Finding => {
    const isKnown = isComplete() // what it leads to may be what is lost
    return { kind: 'indexStale', run, key, what, costs: isKnown ? 'nothing' : 'unknown', isRemovable: isKnown }
  }

  const createCheck = (run: string): RunCheck => {
    const open = questions.get(run)
    return createRunCheck(store, run, heads.get(run), (question) => open?.delete(question) === true)
  }
  async function* endRun(): Findings {
    if (current !== undefined) yield* current.check.end()
    current = undefined
  }
  /** What has no head. */
  const takeOrphan = (run: string, [key, bytes]: Entry): void => {
    const orphan = orphans.get(run) ?? { key, records: 0, bytes: 0 }
    orphan.records += 1
    orphan.bytes += bytes.byteLength
    orphans.set(run, orphan)
  }

  const noteEnded = (key: string): void => {
    toEnded(key) // a key that is none is told of
    ended.add(key)
  }
  const noteQuestion = (key: string): void => {
    const { run, step } = toQuestion(key)
    const open = questions.get(run) ?? new Set()
    questions.set(run, open.add(step))
  }

  async function* takePin([key, bytes]: Entry): Findings {
    const { run } = toPin(key)
    pinned.add(run)
    try {
      decodeRecord(key, bytes)
    } catch (error) {
      yield toDamage(error, { kind: 'snapshot', run, key }, 'part')
    }
  }

  const sections: Readonly<Record<string, (entry: Entry) => Findings | undefined>> = {
    f: ([key]) => void noteEnded(key),
    q: ([key]) => void noteQuestion(key),
    p: takePin,
    x: ([key]) => void deletions.add(toDeletion(key)),
    async *h([key, bytes]) {
      const run = toRunId(key)
      heads.set(run, undefined)
      try {
        const head = parseHead(run, key, bytes)
        if (head.id !== run) throw toCorrupt(run, `its head is of \`${head.id}\``)
        const { wakeAt, endedAt, steps, snapshot } = head
        const chain = snapshot.inline === undefined ? snapshot : NO_CHAIN
        heads.set(run, { steps, snapshot: chain, isEnded: endedAt !== undefined, missingWake: wakeAt, isSeen: false })
        if (endedAt !== undefined && !ended.delete(endedKey(endedAt, run))) {
          const what = 'It has ended and is not in the index of ended runs: retention does not remove it'
          yield { kind: 'indexMissing', run, key: endedKey(endedAt, run), what, costs: 'part', isRemovable: false }
        }
        yield* checkHead(key, head)
      } catch (error) {
        yield toDamage(error, { kind: 'head', run, key })
      }
    },
    async *i(entry) {
      const [key, bytes] = entry
      const { run } = toInbox(key)
      if (!heads.has(run)) takeOrphan(run, entry)
      else if (!isMessage(key, bytes)) {
        const isTold = heads.get(run)?.isEnded !== true
        const what = 'A message that waits for it cannot be read, and it takes none before that'
        yield { kind: 'message', run, key, what, costs: isTold ? 'run' : 'nothing', isRemovable: false }
      }
    },
    async *r(entry) {
      const run = decodeURIComponent(entry[0].split('/')[1] ?? '')
      if (current?.run !== run) {
        yield* endRun()
        current = { run, check: createCheck(run) }
        const head = heads.get(run)
        if (head !== undefined) head.isSeen = true
      }
      if (heads.has(run)) yield* current.check.take(entry)
      else if (!pinned.has(run)) takeOrphan(run, entry)
    },
    w([key]) {
      const { run } = toWake(key)
      const head = heads.get(run)
      if (head?.missingWake !== undefined && wakeKey(head.missingWake, run) === key) head.missingWake = undefined
      else if (isHeadKnown(run)) staleWakes.push({ run, key })
      return undefined
    },
  }

  return {
    async *take(entry) {
      const [key] = entry
      const section = key[1] === '/' ? sections[key[0] ?? ''] : undefined
      if (section === undefined) return yield toForeign(key)
      if (key[0] !== 'r') yield* endRun()
      try {
        yield* section(entry) ?? []
      } catch (error) {
        if (!(error instanceof URIError)) throw error
        yield toForeign(key)
      }
    },
    async *takeGap(gap) {
      gaps.push(gap)
      // What of the run was lost is not known before its records are counted.
      const { after, before, error } = gap
      const from = after === '' ? 'the beginning' : `\`${after}\``
      const to = before === undefined ? 'the end' : `\`${before}\``
      const what = `LevelDB cannot read what is between ${from} and ${to} (${error.message.split('"')[1] ?? error.code})`
      yield { kind: 'unreadable', run: undefined, key: undefined, what, costs: 'unknown', isRemovable: false }
    },
    async *end() {
      yield* endRun()
      for (const [run, head] of heads) if (head?.isSeen === false) yield* createCheck(run).end()
      for (const key of ended) {
        const { run } = toEnded(key)
        if (isHeadKnown(run)) yield toStale(run, key, 'The index says that it ended then, and its head does not')
      }
      for (const { run, key } of staleWakes)
        yield toStale(run, key, 'The index says that it is to be woken then, and its head does not')
      for (const [run, steps] of questions)
        for (const step of steps) {
          yield toStale(run, questionKey(run, step), `The index of questions names \`${step}\`, which is not open`)
        }
      for (const [run, head] of heads) {
        const key = head?.missingWake === undefined ? undefined : wakeKey(head.missingWake, run)
        if (key === undefined || isHidden(key)) continue
        const what = 'It is to be woken and is not in the index: it does not go on by itself. Resume it by its id'
        yield { kind: 'indexMissing', run, key, what, costs: 'part', isRemovable: false }
      }
      for (const run of deletions) {
        const { records = 0, bytes = 0 } = orphans.get(run) ?? {}
        const what = `It was being deleted when its process ended; ${records} records (${bytes} bytes) are left. The next opening removes them`
        yield { kind: 'halfDeleted', run, key: undefined, what, costs: 'nothing', isRemovable: true }
      }
      for (const [run, { key, records, bytes }] of orphans) {
        if (deletions.has(run)) continue
        const isKnown = isComplete() // its head may be what is lost
        const what = `${records} records (${bytes} bytes) of a run that has no head`
        yield { kind: 'orphan', run, key, what, costs: isKnown ? 'nothing' : 'unknown', isRemovable: isKnown }
      }
    },
  }
}

/** Not about an index: those can be made anew of the records. */
export const isAboutRecords = ({ kind }: Finding): boolean => kind !== 'indexMissing' && kind !== 'indexStale'

/** Of a run whose snapshot is in its head, and was checked with it. */
const NO_CHAIN: Head['snapshot'] = { seq: 0, checksum: 0 }

function isMessage(key: string, bytes: Uint8Array): boolean {
  try {
    const message = decodeRecord(key, bytes)
    return typeof message === 'object' && message !== null && 'event' in message
  } catch (error) {
    if (!isPerdureError(error)) throw error
    return false
  }
}
