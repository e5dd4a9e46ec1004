import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isPerdureError, PerdureError } from '../errors.ts'
import { toSafeValue } from '../observe/safe-text.ts'
import { cutText } from '../observe/text-width.ts'
import type { Divergence } from '../replay/divergence.ts'
import { readExport } from '../replay/read-export.ts'
import type { ReplayResult } from '../replay/replay-conversation.ts'
import { type ReplayOptions, replayRun } from '../replay/replay-run.ts'

/** The code of today that recorded runs are replayed against. */
export type ExpectReplayOptions = Pick<ReplayOptions, 'agents' | 'flows' | 'machines' | 'output' | 'onMiss' | 'signal'>

/** An exported run, and what its replay came to. */
export interface ReplayedFile extends ReplayResult {
  readonly file: string
  /** The run in it. */
  readonly id: string
}

/**
 * Replays exported runs (`perdure export`) against today's code, and fails where one is asked for something else or comes to something else: recorded runs as regression tests, without a key
 * and without a network. Nothing is asked outside, see `replayRun` of `perdure/replay`. With `onMiss: 'live'` requests that changed are asked anew, and only other results fail.
 *
 * Resolves with what each run came to. Errors: `REPLAY_DIVERGED` with each file and what of it differs, after all were replayed; a `TypeError` when there is no export, or when an agent, flow or machine
 * is not among the options.
 *
 * @param path - an export, or a folder: each `*.perdure` in it, in the order of their names.
 * @example
 * ```ts
 * import { expectReplay } from 'perdure/testing'
 *
 * test('recorded runs', () => expectReplay('test/runs', { agents: [helper], flows: { report: defineReport } }))
 * ```
 */
export async function expectReplay(path: string | URL, options: ExpectReplayOptions = {}): Promise<readonly ReplayedFile[]> {
  const files = await findExports(typeof path === 'string' ? path : fileURLToPath(path))
  const replayed: ReplayedFile[] = []
  const failures: Failure[] = []
  for (const file of files) {
    const failure = await replayFile(file, options).then(
      (done) => {
        replayed.push(done)
        return toFailure(done, options)
      },
      (error: unknown) => {
        if (!isPerdureError(error)) throw error
        return { file, divergences: [error.message], error }
      },
    )
    if (failure !== undefined) failures.push(failure)
  }
  if (failures.length === 0) return replayed
  throw toUnexpected(files.length, failures)
}

interface Failure {
  readonly file: string
  readonly run?: string
  /** In words. */
  readonly divergences: readonly string[]
  readonly error?: PerdureError
}

async function findExports(path: string): Promise<readonly string[]> {
  if ((await stat(path)).isFile()) return [path]
  const names = (await readdir(path)).filter((name) => name.endsWith('.perdure')).sort()
  if (names.length === 0) throw new TypeError(`Expected the folder ${path} to have exported runs (\`*.perdure\`), got none`)
  return names.map((name) => join(path, name))
}

async function replayFile(file: string, options: ExpectReplayOptions): Promise<ReplayedFile> {
  const recording = await readExport(createReadStream(file))
  return { ...(await replayRun(recording, options)), file, id: recording.id }
}

/** What may be asked live may be asked in another way: what it comes to is looked at. */
function toFailure({ file, id, divergences }: ReplayedFile, { onMiss }: ExpectReplayOptions): Failure | undefined {
  const failing = onMiss === 'live' ? divergences.filter(({ kind }) => kind === 'result') : divergences
  return failing.length === 0 ? undefined : { file, run: id, divergences: failing.map(toText) }
}

const SHOWN = 100

function toText({ text, recorded, replayed }: Divergence): string {
  const show = (value: unknown): string => cutText(toSafeValue(value), SHOWN)
  const values = [
    ...(recorded === undefined ? [] : [`recorded: ${show(recorded)}`]),
    ...(replayed === undefined ? [] : [`replayed: ${show(replayed)}`]),
  ]
  return [text, ...values].join('\n    ')
}

function toUnexpected(count: number, failures: readonly Failure[]): PerdureError {
  const list = failures.map(({ file, divergences }) => `\n${file}\n  ${divergences.join('\n  ')}`).join('')
  const files = failures.map(({ error: _, ...failure }) => failure)
  return new PerdureError('REPLAY_DIVERGED', `${failures.length} of ${count} recorded runs differ from today's code:${list}`, {
    cause: failures.find(({ error }) => error !== undefined)?.error,
    details: { files },
  })
}
