import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { AnswerCommand, ApproveCommand, DenyCommand } from './answer.ts'
import type { CancelCommand, DeleteCommand, ResumeCommand, SendCommand, SettleCommand } from './change.ts'
import type { ExitCode, StoreOptions, Terminal } from './command.ts'
import { shells, toCompletion } from './completion.ts'
import type { LogsCommand } from './logs.ts'
import type { LsCommand } from './ls.ts'
import type { PendingCommand } from './pending.ts'
import type { ShowCommand } from './show.ts'
import type { TranscriptCommand } from './transcript.ts'

/** What a command line is put together with. */
export interface CommandRoom {
  readonly terminal: () => Terminal
  readonly exit: (code: ExitCode) => void
}

const EXIT_CODES =
  'Exit codes: 0 done; 1 it could not be done; 2 wrong usage, or the store could not be reached; 130 ended by Ctrl-C.'
const RUN = 'the id of a run'
const QUESTION = 'which question, as `perdure pending` tells; default: the only one'

/** Adds the commands that look at a store, and that change it, through its owner if it has one. What each needs is loaded when it is used. */
export function addStoreCommands(program: Command, { terminal, exit }: CommandRoom): void {
  program.version(readVersion(), '--version', 'the version of perdure')

  const add = (name: string, summary: string, example: string): Command =>
    program
      .command(name)
      .summary(summary)
      .description(summary)
      .addOption(new Option('--dir <directory>', 'the folder of the store').env('PERDURE_DIR').default('.perdure'))
      .option('--json', 'an object a line, for programs')
      .addHelpText('after', `\nExample: ${example}\n\n${EXIT_CODES}`)
  const addWithApp = (name: string, summary: string, example: string): Command =>
    add(name, summary, example).option(
      '--app <module>',
      'a module that exports `machines`, for a store that no other process has open; it is imported, so it should do nothing else',
    )

  add('ls', 'Lists the runs, with what they did, cost and wait for.', 'perdure ls --status failed --since 1h')
    .addOption(
      new Option('--status <status>', 'only these').choices(['running', 'completed', 'failed', 'cancelled', 'incompatible']),
    )
    .addOption(new Option('--kind <kind>', 'only these').choices(['machine', 'flow', 'agent']))
    .option('--name <name>', 'only runs of that machine, flow or agent')
    .addOption(new Option('--since <time>', 'only runs that changed in the last 90s, 10m, 2h or 3d').argParser(parseDuration))
    .option('--pending', 'only runs that wait for a person')
    .option('--all', 'also the runs that belong to others')
    .option('--after <run>', 'goes on behind that one')
    .addOption(new Option('--limit <number>', 'at most this many').argParser(parseCount).default(100))
    .option('--watch', 'goes on showing them until Ctrl-C')
    .action(async ({ since, ...options }: Omit<LsCommand, 'sinceMs'> & { readonly since?: number }) => {
      const { runLs } = await import('./ls.ts')
      exit(await runLs({ ...options, sinceMs: since }, terminal()))
    })

  add('show', 'Shows the turns and calls of a run as a tree.', 'perdure show helper/ann')
    .argument('<run>', RUN)
    .option('--full', 'arguments and results as they are, not cut')
    .action(async (run: string, options: Omit<ShowCommand, 'run'>) => {
      const { runShow } = await import('./show.ts')
      exit(await runShow({ ...options, run }, terminal()))
    })

  add('logs', 'Tells what the models of a run write and its steps tell.', 'perdure logs helper/ann --follow')
    .argument('<run>', RUN)
    .option('--follow', 'goes on until the run ends, or Ctrl-C')
    .option('--offset <offset>', 'goes on after that chunk, as --json tells it')
    .action(async (run: string, options: Omit<LogsCommand, 'run'>) => {
      const { runLogs } = await import('./logs.ts')
      exit(await runLogs({ ...options, run }, terminal()))
    })

  add('transcript', 'Prints the messages of a conversation, or of all within a run.', 'perdure transcript helper/ann')
    .argument('<run>', RUN)
    .action(async (run: string, options: Omit<TranscriptCommand, 'run'>) => {
      const { runTranscript } = await import('./transcript.ts')
      exit(await runTranscript({ ...options, run }, terminal()))
    })

  add('pending', 'Lists what waits for a person.', 'perdure pending')
    .argument('[run]', 'only what this run, or one within it, waits for')
    .action(async (run: string | undefined, options: PendingCommand) => {
      const { runPending } = await import('./pending.ts')
      exit(await runPending({ ...options, run }, terminal()))
    })

  addWithApp('answer', 'Answers a question of a run.', `perdure answer helper/ann '{"retry":true}'`)
    .argument('<run>', RUN)
    .argument('<value>', 'the answer: JSON, or else a text')
    .option('--question <id>', QUESTION)
    .option('--text', 'the answer is a text, also if it looks like JSON')
    .action(async (run: string, value: string, options: Omit<AnswerCommand, 'run' | 'value'>) => {
      const { runAnswer } = await import('./answer.ts')
      exit(await runAnswer({ ...options, run, value }, terminal()))
    })

  addWithApp('approve', 'Lets a tool call happen that waits to be approved.', 'perdure approve helper/ann')
    .argument('<run>', RUN)
    .option('--question <id>', QUESTION)
    .option('--arguments <json>', 'calls the tool with these instead')
    .action(async (run: string, options: Omit<ApproveCommand, 'run'>) => {
      const { runApprove } = await import('./answer.ts')
      exit(await runApprove({ ...options, run }, terminal()))
    })

  addWithApp('deny', 'Refuses a tool call that waits to be approved.', `perdure deny helper/ann --reason 'Not on a Friday.'`)
    .argument('<run>', RUN)
    .option('--question <id>', QUESTION)
    .option('--reason <text>', 'what the model is told')
    .action(async (run: string, options: Omit<DenyCommand, 'run'>) => {
      const { runDeny } = await import('./answer.ts')
      exit(await runDeny({ ...options, run }, terminal()))
    })

  addWithApp('send', 'Sends an event to a run.', `perdure send order/7 pay --data '{"euros":50}' --id payment-7`)
    .argument('<run>', RUN)
    .argument('<event>', 'its type, or all of it as JSON')
    .option('--data <json>', 'what else is in it')
    .option('--id <id>', 'names the event: it is taken once, however often it is sent')
    .action(async (run: string, event: string, options: Omit<SendCommand, 'run' | 'event'>) => {
      const { runSend } = await import('./change.ts')
      exit(await runSend({ ...options, run, event }, terminal()))
    })

  addWithApp('resume', 'Lets runs of machines go on that were left alone.', 'perdure resume order/7 --app ./machines.ts')
    .argument('[run]', 'only this one; default: all that have something to do')
    .action(async (run: string | undefined, options: ResumeCommand) => {
      const { runResume } = await import('./change.ts')
      exit(await runResume({ ...options, run }, terminal()))
    })

  addWithApp('cancel', 'Ends a run and what it has under way.', `perdure cancel order/7 --reason 'Sold out.'`)
    .argument('<run>', RUN)
    .option('--reason <text>', 'is recorded')
    .action(async (run: string, options: Omit<CancelCommand, 'run'>) => {
      const { runCancel } = await import('./change.ts')
      exit(await runCancel({ ...options, run }, terminal()))
    })

  addWithApp('settle', 'Says what a step in doubt came to.', `perdure settle order/7 'pay#1' --result '"paid"'`)
    .argument('<run>', RUN)
    .argument('<step>', 'its key, as `perdure show --json` tells')
    .option('--result <json>', 'what it returned: JSON, or else a text')
    .option('--error <text>', 'what it failed with')
    .action(async (run: string, step: string, options: Omit<SettleCommand, 'run' | 'step'>) => {
      const { runSettle } = await import('./change.ts')
      exit(await runSettle({ ...options, run, step }, terminal()))
    })

  add('delete', 'Deletes a run and the runs that belong to it, for good.', 'perdure delete order/7 --yes')
    .argument('<run>', RUN)
    .option('--yes', 'without it, it only says what would be deleted')
    .action(async (run: string, options: Omit<DeleteCommand, 'run'>) => {
      const { runDelete } = await import('./change.ts')
      exit(await runDelete({ ...options, run }, terminal()))
    })

  program
    .command('completion')
    .summary('Prints a script that makes a shell complete commands, options and run ids.')
    .description('Prints a script that makes a shell complete commands, options and run ids.')
    .addArgument(program.createArgument('<shell>', 'the shell').choices(shells))
    .addHelpText('after', '\nExample: source <(perdure completion bash)\n         perdure completion fish | source')
    .action((shell: (typeof shells)[number]) => terminal().out(toCompletion(shell, program)))

  program
    .command('run-ids', { hidden: true })
    .addOption(new Option('--dir <directory>').env('PERDURE_DIR').default('.perdure'))
    .action(async (options: StoreOptions) => {
      const { runIds } = await import('./run-ids.ts')
      exit(await runIds(options, terminal()))
    })
}

// Read, not imported: the built file stands in the same place below the package.
const readVersion = (): string => {
  const { version }: { readonly version: string } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) // our own
  return version
}

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function parseDuration(text: string): number {
  const [, amount, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const ms = UNITS[unit]
  if (amount === undefined || ms === undefined) throw new InvalidArgumentError('Expected a time such as 90s, 10m, 2h or 3d.')
  return Number(amount) * ms
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a number.')
  return Number(text)
}
