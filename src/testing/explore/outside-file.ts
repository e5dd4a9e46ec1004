import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { SeenEvent } from './life.ts'
import type { Seen } from './outside.ts'

/** A line of the file that outlives a process: what was seen, what time it is, the keys (in base64) that its store is opened with, and how the life ended if it did not die. */
export type OutsideLine =
  | Seen
  | SeenEvent
  | { readonly type: 'time'; readonly now: number }
  | { readonly type: 'unlocked'; readonly keys: readonly string[] }
  | { readonly type: 'end'; readonly end: 'resolved' | 'stuck' | 'late'; readonly writes: number }
  | { readonly type: 'end'; readonly end: 'rejected'; readonly writes: number; readonly message: string }

interface OutsideFile {
  /** Appends a line: the system has it when this returns, so that a process which is killed then has written it. */
  add(line: OutsideLine): void
  close(): void
}

export function openOutsideFile(path: string): OutsideFile {
  const file = openSync(path, 'a')
  return {
    add: (line) => void writeSync(file, `${JSON.stringify(line)}\n`),
    close: () => closeSync(file),
  }
}

/** Its lines. What a death cut off is none. */
export function readOutsideFile(path: string): OutsideLine[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.slice(0, -1).map((line) => JSON.parse(line) as OutsideLine) // written by `add`
}
