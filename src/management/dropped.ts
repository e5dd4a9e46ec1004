import { readFile } from 'node:fs/promises'
import { basename, isAbsolute, join } from 'node:path'
import type { Finding } from './finding.ts'

/** What LevelDB writes about the last opening of a database, and about the one before. */
const logNames = ['LOG', 'LOG.old']
const dropping = /^(\S+) .*?([^/\\]+\.log): dropping (\d+) bytes; (.*)$/gm

/**
 * What LevelDB passed over when the store at `location` was opened, last or the time before: a part of its log that does not match its checksums is no error to it, only a line in
 * its own notes. A log that was cut at the end of a record leaves no trace at all.
 */
export async function* readDropped(location: string): AsyncGenerator<Finding, void, void> {
  if (!isAbsolute(location)) return
  for (const name of logNames) {
    const text = await readFile(join(location, name), 'utf8').catch(() => '') // who opened it may keep no notes
    for (const [, time = '', file = '', bytes = '', why = ''] of text.matchAll(dropping)) {
      const when = time.replace(/^(\d+)\/(\d+)\/(\d+)-(\d+:\d+:\d+).*$/, '$1-$2-$3 $4')
      const what = `LevelDB dropped ${bytes} bytes of ${basename(file)} when the store was opened on ${when} (${why}): the newest changes of some runs, or new runs, may be gone, unless the machine lost power while they were written`
      yield { kind: 'lost', run: undefined, key: undefined, what, costs: 'unknown', isRemovable: false }
    }
  }
}
