import { join } from 'node:path'
import { readOutputSince } from './output-file.ts'

/** Told what a command prints, from its beginning, in order. */
export type OnOutput = (stream: 'stdout' | 'stderr', text: string) => void

/** Tells `onOutput` at each `read` what came to the output of a command since the last one. Never throws for the files. */
export function createOutputReader(folder: string, onOutput: OnOutput) {
  const readers = (['stdout', 'stderr'] as const).map((stream) => {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    let seen = 0
    return async () => {
      // The beginning and the end, not for as long as it prints.
      for (let parts = 0; parts < 2; parts++) {
        // What cannot be read now may be read at the next look; in the end the outcome has it.
        const part = await readOutputSince(join(folder, stream), seen).catch(() => undefined)
        if (part === undefined) return
        const gap = part.start > seen ? `${decoder.decode()}\n[… ${part.start - seen} bytes not shown …]\n` : ''
        seen = part.end
        const text = gap + decoder.decode(part.bytes, { stream: true })
        if (text !== '') onOutput(stream, text)
      }
    }
  })
  return {
    async read() {
      for (const read of readers) await read()
    },
  }
}
