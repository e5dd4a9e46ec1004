import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** The first reference: a file to which bytes are appended, each time followed by `fdatasync`. */
export function openRawDisk(folder: string): { readonly append: (bytes: number) => number; readonly close: () => void } {
  const file = openSync(join(folder, 'raw'), 'a')
  return {
    /** Appends, and returns the milliseconds that it took until it was on the disk. */
    append(bytes) {
      const buffer = Buffer.alloc(bytes, 'x')
      const startedAt = performance.now()
      writeSync(file, buffer)
      fdatasyncSync(file)
      return performance.now() - startedAt
    },
    close: () => closeSync(file),
  }
}
