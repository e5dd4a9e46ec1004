import { createReadStream } from 'node:fs'
import { isPerdureError } from '../errors.ts'
import type { Connection } from '../management/client.ts'
import { toCount } from '../observe/quantity.ts'
import { toFirstLine, toSafeText } from '../observe/safe-text.ts'
import { diffRuns, type RunDiff } from '../replay/diff-runs.ts'
import { drawDiff } from '../replay/format-diff.ts'
import { readExport } from '../replay/read-export.ts'
import type { RunRecording } from '../replay/recording.ts'
import { type ReplayOptions, replayRun } from '../replay/replay-run.ts'
import { loadReplayed } from './app.ts'
import { type ExitCode, runCommand, runOffline, type StoreOptions, type Terminal, toJsonLine } from './command.ts'

/** The commands on what is recorded: of a run in the store, or of an export of one. */

export interface ReplayCommand extends StoreOptions {
  /** The id of a run, or a file `*.perdure`. */
  readonly target: string
  /** A module that exports `agents`, `flows` or `machines`. */
  readonly app: string
  /** Asks and executes what the recording has no answer for. */
  readonly live?: boolean | undefined
}

export interface DiffCommand extends StoreOptions {
  /** Each the id of a run, or a file `*.perdure`. */
  readonly a: string
  readonly b: string
}

type RecordingsBody = (recordings: readonly RunRecording[]) => Promise<ExitCode>

/** How wide a line is that is not for a terminal. */
const PIPE_COLUMNS = 160

export const runReplay = async ({ target, app, ...command }: ReplayCommand, terminal: Terminal): Promise<ExitCode> =>
  withRecordings('replay', [target], command, terminal, async ([recording]) => {
    if (recording === undefined) return 1
    const options: ReplayOptions = {
      ...(await loadReplayed(app)),
      onMiss: command.live === true ? 'live' : 'fail',
      signal: terminal.signal,
    }
    return tellReplay(recording, options, command, terminal)
  })

async function tellReplay(
  recording: RunRecording,
  options: ReplayOptions,
  { json = false }: StoreOptions,
  terminal: Terminal,
): Promise<ExitCode> {
  const { theme, out } = terminal
  const { id } = recording
  const say = (isSame: boolean, text: string): void => {
    const tone = isSame ? 'complete' : 'fail'
    out(`${theme.paint(tone, theme.glyph(tone))} ${theme.spell(toSafeText(text))}\n`)
  }
  try {
    const { identical, divergences, output, recordedOutput, replayed } = await replayRun(recording, options)
    if (json) out(toJsonLine({ id, identical, divergences, output, recordedOutput }))
    else if (identical) say(true, `\`${id}\` comes to the same today. Nothing was asked outside.`)
    else {
      say(false, `\`${id}\` differs today in ${toCount(divergences.length, 'place')}.`)
      for (const { text } of divergences) out(`  ${theme.spell(toSafeText(text))}\n`)
      if (replayed !== undefined) out(`\n${toPicture(diffRuns(recording, replayed), terminal)}`)
    }
    return identical ? 0 : 1
  } catch (error) {
    if (!isPerdureError(error, 'REPLAY_DIVERGED')) throw error
    if (json) out(toJsonLine({ id, identical: false, stopped: { ...error.details, text: error.message } }))
    else say(false, toFirstLine(error.message))
    return 1
  }
}

export const runDiff = async ({ a, b, ...command }: DiffCommand, terminal: Terminal): Promise<ExitCode> =>
  withRecordings('diff', [a, b], command, terminal, async ([one, other]) => {
    if (one === undefined || other === undefined) return 1
    const diff = diffRuns(one, other)
    terminal.out(command.json === true ? toJsonLine(diff) : toPicture(diff, terminal))
    return diff.change === 'same' ? 0 : 1
  })

const toPicture = (diff: RunDiff, { columns = PIPE_COLUMNS, theme }: Terminal): string =>
  drawDiff(diff, { width: columns, theme })

/** Files need no store. */
function withRecordings(
  name: string,
  targets: readonly string[],
  options: StoreOptions,
  terminal: Terminal,
  body: RecordingsBody,
): Promise<ExitCode> {
  const readAll = async (toSource: (target: string) => AsyncIterable<Uint8Array>): Promise<ExitCode> => {
    const recordings: RunRecording[] = []
    for (const target of targets) recordings.push(await readExport(toSource(target)))
    return body(recordings)
  }
  if (targets.every(isFile)) return runOffline(name, terminal, () => readAll(createReadStream))
  return runCommand(name, options, terminal, (store: Connection) =>
    readAll((target) => (isFile(target) ? createReadStream(target) : store.export(target))),
  )
}

const isFile = (target: string): boolean => target.endsWith('.perdure')
