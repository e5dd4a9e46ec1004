import { isPerdureError } from '../errors.ts'
import {
  assertRunId,
  headKey,
  headsWithin,
  inboxRange,
  questionRange,
  rangeOf,
  recordRange,
  toRunId,
} from '../persistence/keys.ts'
import { isOwnedBy } from '../persistence/run-deletion.ts'
import { parseHead } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { toCorrupt } from '../runtime/recorded.ts'
import { toNotFound } from '../runtime/run-errors.ts'
import { toBegun } from './begun.ts'
import { writeExport } from './export-file.ts'
import type { Entry } from './scan.ts'
import { toSelfContained } from './self-contained.ts'
import { createStoreCheck, isAboutRecords } from './verify.ts'

type Cursor = AsyncIterableIterator<Entry>

interface Cut {
  /** The runs: the one that was asked for, then those that belong to it. */
  readonly runs: ReadonlySet<string>
  /** Everything under the ids of all runs whose id begins with that of the first. */
  readonly entries: () => AsyncGenerator<Entry, void, void>
  close(): Promise<void>
}

/**
 * A run and the runs that belong to it, as bytes for a file: their records as of one moment, checked. Its owner may go on meanwhile: what is exported is what a crash at that moment
 * would have left. The files of commands, and the indexes, are not part of it. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`, `RUN_ID_INVALID`, `STORE_*`.
 */
export async function* exportRun(
  store: Store,
  run: string,
  about: { readonly now: number; readonly version: string },
): AsyncGenerator<Uint8Array, void, void> {
  assertRunId(run)
  const cut = await openCut(store, run)
  try {
    yield* writeExport(
      { id: run, createdAt: about.now, version: about.version },
      toChecked(run, toSelfContained(store, ofRuns(cut))),
    )
  } finally {
    await cut.close()
  }
}

async function* ofRuns({ runs, entries }: Cut): AsyncGenerator<Entry, void, void> {
  for await (const entry of entries()) if (runs.has(toOwner(entry[0]))) yield entry
}

/** What is damaged here cannot be imported elsewhere. */
async function* toChecked(run: string, entries: AsyncIterable<Entry>): AsyncGenerator<Entry, void, void> {
  const check = createStoreCheck()
  for await (const entry of entries) {
    for await (const finding of check.take(entry)) if (isAboutRecords(finding)) throw toCorrupt(finding.run ?? run, finding.what)
    yield entry
  }
  for await (const finding of check.end()) if (isAboutRecords(finding)) throw toCorrupt(finding.run ?? run, finding.what)
}

/** The run that a record belongs to. */
const toOwner = (key: string): string => toRunId(`h/${key.split('/')[1] ?? ''}`)

/** How often a run may be changed in the instant in which its records are held. */
const MAX_TRIES = 100

/**
 * The records of a run as of one moment. Each cursor shows the store as it was when it was opened, and they are opened one after the other, the heads first and last: each commit
 * writes the head, so if those are the same, all that was opened between them is of one commit.
 */
async function openCut(store: Store, run: string): Promise<Cut> {
  for (let tries = 1; ; tries += 1) {
    const within = (range: { gte: string; lt: string }): readonly { gte: string; lt: string }[] => [
      rangeOf(`${range.gte.slice(0, -1)}%2F`),
      range,
    ]
    const heads = [{ gte: headKey(run), lt: `${headKey(run)}\0` }, headsWithin(run)]
    const body = [...within(inboxRange(run)), ...within(questionRange(run)), ...within(recordRange(run))]
    // A store may open a cursor when its first entry is asked for.
    const opened = [...heads, ...body, ...heads].map((range) => toBegun(store.entries(range)))
    const close = async (): Promise<void> => void (await Promise.all(opened.map((cursor) => cursor.return?.())))
    try {
      const first = await readAll(opened.slice(0, heads.length))
      const last = await readAll(opened.slice(-heads.length))
      const runs = toRuns(run, first)
      if (isSame(runs, first, last)) {
        const rest = opened.slice(heads.length, -heads.length)
        return { runs, entries: () => concat(first, rest), close }
      }
      if (tries === MAX_TRIES) throw toCorrupt(run, 'its head changes while it is read')
    } catch (error) {
      await close()
      throw error
    }
    await close()
  }
}

async function readAll(cursors: readonly Cursor[]): Promise<readonly Entry[]> {
  const all: Entry[] = []
  for (const cursor of cursors) for await (const entry of cursor) all.push(entry)
  return all
}

async function* concat(first: readonly Entry[], rest: readonly Cursor[]): AsyncGenerator<Entry, void, void> {
  yield* first
  for (const cursor of rest) yield* cursor
}

/** A run and those of `heads` that belong to it, or to one that does. A parent comes before its children: their ids begin with its. */
function toRuns(run: string, heads: readonly Entry[]): ReadonlySet<string> {
  const runs = new Set<string>()
  for (const [key, bytes] of heads) {
    const id = toRunId(key)
    if (id === run || isWithin(runs, id, key, bytes)) runs.add(id)
  }
  if (!runs.has(run)) throw toNotFound(run)
  return runs
}

function isWithin(runs: ReadonlySet<string>, id: string, key: string, bytes: Uint8Array): boolean {
  try {
    const head = parseHead(id, key, bytes)
    return head.kind === 'agent' && [...runs].some((owner) => isOwnedBy(owner, head))
  } catch (error) {
    if (isPerdureError(error, 'RUN_CORRUPT')) return false // as when the run is deleted
    throw error
  }
}

const isSame = (runs: ReadonlySet<string>, first: readonly Entry[], last: readonly Entry[]): boolean => {
  const later = new Map(last)
  return first.every(([key, bytes]) => !runs.has(toRunId(key)) || Buffer.compare(bytes, later.get(key) ?? NONE) === 0)
}
const NONE = new Uint8Array()
