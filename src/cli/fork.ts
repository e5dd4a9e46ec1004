import { toSafeText } from '../observe/safe-text.ts'
import type { ForkOptions, ForkPoint } from '../runtime/fork-options.ts'
import { type ExitCode, parseJson, parseValue, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'

export interface ForkCommand extends StoreOptions {
  readonly run: string
  /** `TURN` or `TURN/CALL`. */
  readonly at?: string | undefined
  /** `TURN`. */
  readonly after?: string | undefined
  readonly id?: string | undefined
  readonly prompt?: string | undefined
  readonly systemPrompt?: string | undefined
  readonly model?: string | undefined
  /** As JSON. */
  readonly settings?: string | undefined
  /** JSON, or a text. */
  readonly result?: string | undefined
  readonly answer?: string | undefined
}

/** `perdure fork`: the new run is on disk when it returns. */
export const runFork = async (command: ForkCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('fork', command, terminal, async (store) => {
    const { run, json = false } = command
    const { id } = await store.fork(run, toOptions(command))
    const { name } = await store.run(id)
    const session = id.slice(name.length + 1)
    if (json) terminal.out(toJsonLine({ id, forkedFrom: run }))
    else
      terminal.out(
        `${toSafeText(id)} goes on when the app runs it: \`session(${JSON.stringify(toSafeText(session))}).resume()\` of ${toSafeText(name)}.\n`,
      )
    return 0
  })

/** Errors: a `TypeError`. */
function toOptions({ at, after, id, prompt, systemPrompt, model, settings, result, answer }: ForkCommand): ForkOptions {
  return {
    at: toPoint(at, after),
    id,
    prompt,
    systemPrompt,
    model,
    settings: settings === undefined ? undefined : (parseJson('--settings', settings) as ForkOptions['settings']), // checked by whoever forks
    result: result === undefined ? undefined : parseValue(result),
    answer: answer === undefined ? undefined : parseValue(answer),
  }
}

function toPoint(at: string | undefined, after: string | undefined): ForkPoint {
  const [, turn, call] = /^(\d+)(?:\/(.+))?$/s.exec(at ?? '') ?? []
  if (turn !== undefined && after === undefined) return call === undefined ? { turn: Number(turn) } : { turn: Number(turn), call }
  if (at === undefined && after !== undefined && /^\d+$/.test(after)) return { after: Number(after) }
  throw new TypeError('Expected --at TURN, --at TURN/CALL such as 3/m2 or 3/m2/call_1, or --after TURN')
}
