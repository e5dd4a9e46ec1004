import { decodeRecord } from '../../src/persistence/codec.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import type { StepRecord } from '../../src/persistence/run-log.ts'

/** The steps that a closed store holds, by run and step: `<run>#<step>`, as tools and steps get it for a key. */
export async function readJournal(directory: string): Promise<Map<string, StepRecord>> {
  const steps = new Map<string, StepRecord>()
  await using store = await openLevelStore(directory)
  for await (const [key, bytes] of store.entries({ gte: 'r/', lt: 'r0' })) {
    const parts = /^r\/([^/]+)\/s\/(.*)$/.exec(key)
    if (parts === null) continue
    // Written by the run log, checked by its checksum.
    steps.set(`${decodeURIComponent(parts[1] ?? '')}#${parts[2]}`, decodeRecord(key, bytes) as StepRecord)
  }
  return steps
}
