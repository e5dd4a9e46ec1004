import { encodeRecord } from '../persistence/codec.ts'
import { baseKey, deltaKey, deltaRange, headKey, keptRange, recordRange, toDeltaSeq, toRunId } from '../persistence/keys.ts'
import { type Head, parseHead } from '../persistence/run-record.ts'
import { decodeLink } from '../persistence/snapshot-chain.ts'
import { createSnapshotLog, loadSnapshotLog } from '../persistence/snapshots.ts'
import type { Store } from '../persistence/store.ts'
import type { Entry } from './scan.ts'

/** What a run has instead of its chain. `base`: undefined if its snapshot is in its head. */
interface Own {
  base: Entry | undefined
}

/**
 * The records of runs, with the heads first, such that they need nothing of other runs: the snapshot of a fork, which takes what it began with of its origin, is written as one base; what is kept for forks of
 * these runs is left out. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`, those of `Store`.
 */
export async function* toSelfContained(store: Store, entries: AsyncIterable<Entry>): AsyncGenerator<Entry, void, void> {
  const forks = new Map<string, Own>()
  /** Where the chains of the other runs begin, if not at the beginning. */
  const firsts = new Map<string, number>()
  for await (const entry of entries) {
    const [key, bytes] = entry
    const run = toRunId(`h/${key.split('/')[1] ?? ''}`)
    if (key === headKey(run)) {
      const head = parseHead(run, key, bytes)
      const { base } = head.snapshot
      if (base === undefined) yield entry
      else if (await isFork(store, run, base)) {
        const own = await toOwn(store, head)
        forks.set(run, own)
        yield own.head
      } else {
        firsts.set(run, base)
        yield entry
      }
      continue
    }
    const fork = forks.get(run)
    if (fork?.base !== undefined && key.startsWith(recordRange(run).gte)) {
      yield fork.base // it comes before all others
      fork.base = undefined
    }
    const isChain = key === baseKey(run) || key.startsWith(deltaRange(run).gte)
    if (isChain && (fork !== undefined || (toDeltaSeq(key) ?? 0) < (firsts.get(run) ?? 0))) continue
    if (!key.startsWith(keptRange(run).gte)) yield entry
  }
}

async function isFork(store: Store, run: string, base: number): Promise<boolean> {
  const key = deltaKey(run, base)
  const bytes = await store.get(key)
  return bytes !== undefined && decodeLink(key, bytes).taken !== undefined
}

async function toOwn(store: Store, head: Head): Promise<Own & { readonly head: Entry }> {
  const { value } = await loadSnapshotLog(store, head.id, head.snapshot)
  const log = createSnapshotLog(head.id)
  const [operation] = log.write(value)
  const key = headKey(head.id)
  return {
    head: [key, encodeRecord(key, { ...head, snapshot: log.end })],
    base: operation?.type === 'put' ? [operation.key, operation.value] : undefined,
  }
}
