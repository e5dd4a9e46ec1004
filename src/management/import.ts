import { isPerdureError, PerdureError } from '../errors.ts'
import { encodeRecord, moveRecord, readChecksum } from '../persistence/codec.ts'
import {
  assertRunId,
  baseKey,
  deletionKey,
  deltaRange,
  endedKey,
  headKey,
  inboxKey,
  recordRange,
  toRunId,
} from '../persistence/keys.ts'
import { eraseRun, isBeingDeleted } from '../persistence/run-deletion.ts'
import { type Head, parseHead } from '../persistence/run-record.ts'
import { moveChain, readNamedSteps } from '../persistence/snapshot-chain.ts'
import type { Operation, Store } from '../persistence/store.ts'
import { MACHINE } from '../runtime/machine-head.ts'
import { readExport, toInvalid } from './export-file.ts'
import type { Finding } from './finding.ts'
import type { Entry } from './scan.ts'
import { createStoreCheck, isAboutRecords } from './verify.ts'

export interface ImportRoom {
  readonly store: Store
  /** Takes a run until what is returned is called. Errors: `RUN_CONFLICT`. */
  readonly claim: (run: string) => () => void
  /** From about how many bytes on the records are written in several batches. Default: 4 MB. */
  readonly batchBytes?: number | undefined
}

/** From this length on the id of a run within another may not have all of that one’s: it would not be found below another id. */
const MAX_RENAMED = 200

/**
 * Writes the runs of an export into a store, under `id` if one is given; `<id>/…` are those that belong to it. They are *dormant*: nothing of them goes on by itself, not even when the
 * store is opened again, until somebody asks for it: `resume` with its id, an event, an answer.
 *
 * What resolves is on disk. If it fails, or the process dies in the middle, nothing of it is there: a large one has a mark by which the next opening removes what was written.
 *
 * The files of commands (what they printed so far) are not part of an export: a command that was under way is in doubt here, as after a crash that lost them.
 *
 * Errors: `EXPORT_INVALID`, `RUN_CONFLICT` (there is a run of that id), `RUN_ID_INVALID`, those of `source` and `Store`.
 */
export async function importRun(
  { store, claim, batchBytes = 4 * 1024 ** 2 }: ImportRoom,
  source: AsyncIterable<Uint8Array>,
  { id }: { readonly id?: string | undefined } = {},
): Promise<{ readonly id: string }> {
  if (typeof source?.[Symbol.asyncIterator] !== 'function')
    throw new TypeError(`Expected \`source\` to be bytes as they come, such as \`createReadStream(file)\`, got ${typeof source}`)
  if (id !== undefined) assertRunId(id)
  const { header, entries } = await readExport(source)
  const target = id ?? header.id
  const check = createStoreCheck()
  const runs = createImportedRuns(header.id, target)
  const releases: (() => void)[] = []
  let batch: Operation[] = []
  let bytes = 0
  let isMarked = false

  const flush = async (): Promise<void> => {
    const marks = isMarked ? [] : runs.ids().map((run) => toMark(run))
    isMarked = true
    await store.write([...marks, ...batch])
    batch = []
    bytes = 0
  }
  try {
    let last = ''
    for await (const entry of entries) {
      if (entry[0] <= last) throw toInvalid(`its records are not in order (\`${entry[0]}\`)`)
      last = entry[0]
      for await (const finding of check.take(entry)) assertSound(finding)
      const taken = runs.take(entry)
      if (typeof taken === 'string') {
        releases.push(claim(taken))
        await assertFree(store, taken)
        continue
      }
      for (const operation of taken) {
        batch.push(operation)
        bytes += operation.type === 'put' ? operation.value.byteLength : 0
      }
      if (bytes >= batchBytes) await flush()
    }
    for await (const finding of check.end()) assertSound(finding)
    const unmarks = isMarked ? runs.ids().map((run): Operation => ({ type: 'del', key: deletionKey(run) })) : []
    await store.write([...batch, ...runs.end(), ...unmarks])
    return { id: target }
  } catch (error) {
    if (isMarked) for (const run of runs.ids()) await eraseRun(store, run).catch(() => {}) // or the next opening does
    const isOfRecord = isPerdureError(error, 'RUN_CORRUPT') || isPerdureError(error, 'STORE_FORMAT_NEWER')
    throw isOfRecord ? toInvalid(error.message, { cause: error }) : error
  } finally {
    for (const release of releases) release()
  }
}

const toMark = (run: string): Operation => {
  const key = deletionKey(run)
  return { type: 'put', key, value: encodeRecord(key, null) }
}

interface ImportedRuns {
  /** Those that there are, under their ids here. */
  ids(): readonly string[]
  /** Takes a record of the export. Returns the run of a head, else what can be written now. Errors: `EXPORT_INVALID`, `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
  take(entry: Entry): string | readonly Operation[]
  /** What makes that the runs are there: their heads and what leads to them, and what others look for without asking a head. */
  end(): readonly Operation[]
}

function createImportedRuns(from: string, to: string): ImportedRuns {
  const heads = new Map<string, Head>()
  /** What the chains of snapshots end with, by run. */
  const checksums = new Map<string, number>()
  /** The run whose records come, its chain, and the checksums that the steps have here which the chain names. */
  let current: { readonly run: string; readonly chain: Entry[]; readonly named: Map<string, number> } | undefined
  const atEnd: Operation[] = []
  let messages = 0
  const isWithin = (run: string): boolean => run === from || run.startsWith(`${from}/`)
  const toTarget = (run: string): string => to + run.slice(from.length)
  const toKey = (run: string, key: string): string => {
    const [section = '', , ...rest] = key.split('/')
    return [section, headKey(toTarget(run)).slice('h/'.length), ...rest].join('/')
  }

  const toCopy = (run: string, [key, bytes]: Entry): Operation => {
    const target = toKey(run, key)
    return { type: 'put', key: target, value: moveRecord(key, target, bytes) }
  }

  const takeHead = (run: string, [key, bytes]: Entry): string => {
    if (!isWithin(run)) throw toInvalid(`it has the run \`${run}\`, which is not within \`${from}\``)
    const id = toTarget(run)
    if (id !== run && Math.max(id.length, run.length) > MAX_RENAMED)
      throw new PerdureError(
        'RUN_ID_INVALID',
        `The run \`${run}\` cannot have the id \`${id}\` here: choose one of the length that it had.`,
      )
    assertRunId(id)
    heads.set(run, parseHead(run, key, bytes))
    return id
  }
  const takeRecord = (run: string, entry: Entry): readonly Operation[] => {
    const [key, bytes] = entry
    const before = current?.run === run ? [] : endChain()
    current ??= { run, chain: [], named: new Map() }
    if (key === baseKey(run) || key.startsWith(deltaRange(run).gte)) {
      current.chain.push(entry)
      for (const step of readNamedSteps(toTarget(run), key, bytes)) current.named.set(step, 0)
      return before
    }
    const operation = toCopy(run, entry)
    if (operation.type === 'put' && current.named.has(operation.key))
      current.named.set(operation.key, readChecksum(operation.value))
    return [...before, operation]
  }
  /** A chain can be written when the steps that it names are: it has their checksums, which are of their keys too. */
  const endChain = (): readonly Operation[] => {
    if (current === undefined) return []
    const { run, chain, named } = current
    current = undefined
    if (chain.length === 0) return []
    const { operations, checksum } = moveChain(chain, toTarget(run), (step) => named.get(step) ?? 0)
    checksums.set(run, checksum)
    return operations
  }
  const takeMessage = (run: string, [key, bytes]: Entry): void => {
    // Below the numbers of all messages here: those begin with the number of an opening.
    const number = `${'0'.repeat(16)}.${String(messages++).padStart(16, '0')}`
    const target = inboxKey(toTarget(run), number)
    atEnd.push({ type: 'put', key: target, value: moveRecord(key, target, bytes) })
  }
  const toHead = (run: string, head: Head): readonly Operation[] => {
    const { wakeAt: _, data, snapshot, ...rest } = head
    const { base: __, ...end } = snapshot // it is put where the first base of a run is
    const id = toTarget(run)
    const isAsleep = head.kind === MACHINE && head.endedAt === undefined
    const key = headKey(id)
    const value = encodeRecord(key, {
      ...rest,
      id,
      data: toRenamed(data),
      snapshot: { ...end, checksum: checksums.get(run) ?? snapshot.checksum },
      ...(isAsleep && { dormant: true }),
    })
    const operations: Operation[] = [{ type: 'put', key, value }]
    if (head.endedAt === undefined) return operations
    const place = endedKey(head.endedAt, id)
    return [...operations, { type: 'put', key: place, value: encodeRecord(place, null) }]
  }
  const toRenamed = (data: unknown): unknown => {
    if (typeof data !== 'object' || data === null || !('parent' in data) || typeof data.parent !== 'string') return data
    return { ...data, parent: isWithin(data.parent) ? toTarget(data.parent) : data.parent }
  }

  return {
    ids: () => [...heads.keys()].map(toTarget),
    take(entry) {
      const [key] = entry
      const run = toRunId(`h/${key.split('/')[1] ?? ''}`)
      if (key === headKey(run)) return takeHead(run, entry)
      if (!heads.has(run)) throw toInvalid(`it has the record \`${key}\`, which is of no run in it`)
      if (key.startsWith('r/')) return takeRecord(run, entry)
      if (key.startsWith('i/')) takeMessage(run, entry)
      else if (key.startsWith('q/')) atEnd.push(toCopy(run, entry))
      else throw toInvalid(`it has the record \`${key}\`, which is not one of a run`)
      return []
    },
    end() {
      if (!heads.has(from)) throw toInvalid(`it does not have the run \`${from}\``)
      return [...endChain(), ...atEnd, ...[...heads].flatMap(([run, head]) => toHead(run, head))]
    },
  }
}

function assertSound(finding: Finding): void {
  if (isAboutRecords(finding)) throw toInvalid(finding.what, finding.run === undefined ? {} : { run: finding.run })
}

/** Errors: `RUN_CONFLICT`. */
async function assertFree(store: Store, run: string): Promise<void> {
  const conflict = (what: string): PerdureError =>
    new PerdureError(
      'RUN_CONFLICT',
      `${what} of the id \`${run}\` in the store at ${store.location}. Import it under another id.`,
      {
        details: { run },
      },
    )
  if ((await store.get(headKey(run))) !== undefined) throw conflict('There is a run')
  const isLeft = async (): Promise<boolean> => {
    for await (const _ of store.entries({ ...recordRange(run), limit: 1 })) return true
    return isBeingDeleted(store, run)
  }
  if (await isLeft()) throw conflict('There is something left of a run')
}
