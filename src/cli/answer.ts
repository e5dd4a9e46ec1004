import { isPerdureError } from '../errors.ts'
import type { Connection } from '../management/client.ts'
import { toSafeText } from '../observe/safe-text.ts'
import type { Pending } from '../runtime/pending.ts'
import { type ExitCode, parseJson, parseValue, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'

interface QuestionOptions extends StoreOptions {
  readonly run: string
  /** Which of its questions. Default: the only one. */
  readonly question?: string | undefined
}

export interface AnswerCommand extends QuestionOptions {
  readonly value: string
  /** It is a text, also if it looks like JSON. */
  readonly text?: boolean | undefined
}

export interface ApproveCommand extends QuestionOptions {
  /** Those to call the tool with instead, as JSON. */
  readonly arguments?: string | undefined
}

export interface DenyCommand extends QuestionOptions {
  /** What the model is told. */
  readonly reason?: string | undefined
}

/** `perdure answer`: the answer is on disk when it returns. */
export const runAnswer = async (command: AnswerCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('answer', command, terminal, async (store) => {
    const value = command.text === true ? command.value : parseValue(command.value)
    return give(store, command, terminal, undefined, value)
  })

export const runApprove = async (command: ApproveCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('approve', command, terminal, async (store) => {
    const { arguments: text } = command
    const value = text === undefined ? true : { approved: true, arguments: parseJson('--arguments', text) }
    return give(store, command, terminal, 'approval', value)
  })

export const runDeny = async (command: DenyCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('deny', command, terminal, async (store) => {
    const { reason } = command
    return give(store, command, terminal, 'approval', reason === undefined ? false : { approved: false, reason })
  })

async function give(
  store: Connection,
  command: QuestionOptions,
  { out, err, theme }: Terminal,
  kind: Pending['kind'] | undefined,
  value: unknown,
): Promise<ExitCode> {
  const { run, question, json = false } = command
  const open: Pending[] = []
  for await (const each of store.pending({ run })) if (kind === undefined || each.kind === kind) open.push(each)
  const named = question === undefined ? open : open.filter(({ id }) => id === question)
  const [only, ...others] = named
  if (only === undefined && question !== undefined) {
    await store.answer(run, question, value) // says why it cannot be answered
    return 0
  }
  if (only === undefined) {
    await store.run(run) // says that there is none
    err(`No ${kind ?? 'question'} of \`${toSafeText(run)}\` waits for a person.\n`)
    return 1
  }
  if (others.length > 0) {
    err(`${named.length} questions of \`${toSafeText(run)}\` wait for a person. Name one with --question:\n`)
    for (const { id, runId, text } of named)
      err(`  ${toSafeText(id)}${runId === run ? '' : ` (of ${toSafeText(runId)})`}: ${toSafeText(text)}\n`)
    return 2
  }
  try {
    await store.answer(only.runId, only.id, value)
  } catch (error) {
    if (!isPerdureError(error, 'ANSWER_INVALID')) throw error
    err(
      `perdure: ANSWER_INVALID: ${toSafeText(error.message)} The answer has to fit ${toSafeText(JSON.stringify(only.schema))}\n`,
    )
    return 1
  }
  const { owner } = await store.info()
  const goesOn = owner.pid === process.pid ? ' The run takes it when its app opens the store.' : ''
  if (json) out(toJsonLine({ runId: only.runId, id: only.id, answered: true }))
  else
    out(
      `${theme.paint('complete', 'Answered')} ${toSafeText(only.kind)} ${toSafeText(only.name)} of ${toSafeText(only.runId)}.${goesOn}\n`,
    )
  return 0
}
