import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { deserialize, serialize } from 'node:v8'
import { rangeOf } from '../../persistence/keys.ts'
import type { Store } from '../../persistence/store.ts'
import type { StoreReader } from './records.ts'

type Entries = readonly (readonly [key: string, value: Uint8Array])[]

/** Writes all that a store holds into a file: whole, or not at all. */
export async function writeDump(store: StoreReader, path: string): Promise<void> {
  const entries: [string, Uint8Array][] = []
  for (const start of ['e/', 'h/', 'i/', 'k/', 'r/']) // with the keys of an encrypted one
    for await (const [key, value] of store.entries(rangeOf(start))) entries.push([key, value])
  writeFileSync(`${path}.tmp`, serialize(entries))
  renameSync(`${path}.tmp`, path)
}

/** Reads it as if it were the store. */
export function readDump(path: string): StoreReader {
  const entries = deserialize(readFileSync(path)) as Entries // written above
  const values = new Map(entries)
  const sorted = entries.toSorted(([a], [b]) => (a < b ? -1 : 1)) // keys are ASCII
  return {
    get: async (key) => values.get(key),
    getMany: async (keys) => keys.map((key) => values.get(key)),
    async *entries({ gte, lt }: Parameters<Store['entries']>[0]) {
      for (const entry of sorted) if (entry[0] >= gte && entry[0] < lt) yield entry
    },
  }
}
