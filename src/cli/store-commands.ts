import { type Command, InvalidArgumentError, Option } from 'commander'
import { readVersion } from '../version.ts'
import type { AnswerCommand, ApproveCommand, DenyCommand } from './answer.ts'
import type { CancelCommand, DeleteCommand, ResumeCommand, SendCommand, SettleCommand } from './change.ts'
import type { ExitCode, StoreOptions, Terminal } from './command.ts'
import { shells, toCompletion } from './completion.ts'
import type { DashboardCommand } from './dashboard.ts'
import type { ForkCommand } from './fork.ts'
import type { GcCommand } from './gc.ts'
import type { LogsCommand } from './logs.ts'
import type { LsCommand } from './ls.ts'
import type { MachineCommand } from './machine.ts'
import type { PendingCommand } from './pending.ts'
import type { DiffCommand, ReplayCommand } from './replay.ts'
import type { ShowCommand } from './show.ts'
import type { TranscriptCommand } from './transcript.ts'
import type { ExportCommand, ImportCommand } from './transfer.ts'

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

  const add = (name: string, summary: string, example: string, exitCodes = EXIT_CODES): Command =>
    program
      .command(name)
      .summary(summary)
      .description(summary)
      .addOption(new Option('--dir <directory>', 'the folder of the store').env('PERDURE_DIR').default('.perdure'))
      .option('--json', 'an object a line, for programs')
      .addHelpText('after', `\nExample: ${example}\n\n${exitCodes}`)
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

  add(
    'fork',
    'Begins a new conversation with what came before a turn or a call of another, and something else from there on.',
    "perdure fork helper/ann --at 3 --system-prompt 'Check twice.'",
  )
    .argument('<run>', 'the id of the conversation of an agent')
    .option(
      '--at <turn>',
      'TURN, which is done again, or TURN/CALL: 3/m2 is its second model request, 3/m2/ID a tool call of that answer',
    )
    .option('--after <turn>', 'behind that turn; the fork waits for a prompt')
    .option('--prompt <text>', 'what is asked instead, at a turn')
    .option('--system-prompt <text>', 'instead of that of the profile')
    .option('--model <name>', 'instead of that of the profile')
    .option('--settings <json>', 'instead of those of the profile that have these names')
    .option('--result <value>', 'what the tool returned instead, as JSON or a text')
    .option('--answer <value>', 'what the person answered instead, as JSON or a text')
    .option('--id <run>', 'the id of the new run, AGENT/SESSION; default: one that is made up')
    .action(async (run: string, options: Omit<ForkCommand, 'run'>) => {
      const { runFork } = await import('./fork.ts')
      exit(await runFork({ ...options, run }, terminal()))
    })

  add('delete', 'Deletes a run and the runs that belong to it, for good.', 'perdure delete order/7 --yes')
    .argument('<run>', RUN)
    .option('--yes', 'without it, it only says what would be deleted')
    .action(async (run: string, options: Omit<DeleteCommand, 'run'>) => {
      const { runDelete } = await import('./change.ts')
      exit(await runDelete({ ...options, run }, terminal()))
    })

  addWithApp('dashboard', 'Serves a page to look at the store and to act on it, until Ctrl-C.', 'perdure dashboard --open')
    .addOption(new Option('--port <number>', 'the port on 127.0.0.1; default: one that is free').argParser(parsePort))
    .option('--open', 'opens it in the browser')
    .action(async (options: DashboardCommand) => {
      const { runDashboard } = await import('./dashboard.ts')
      exit(await runDashboard(options, terminal()))
    })

  add('stats', 'Says who has the store open, and counts runs, cost, records and bytes.', 'perdure stats').action(
    async (options: StoreOptions) => {
      const { runStats } = await import('./stats.ts')
      exit(await runStats(options, terminal()))
    },
  )

  add(
    'verify',
    'Reads and checks every record, and says what is damaged and what that costs. Changes nothing.',
    'perdure verify --json',
    'Exit codes: 0 the store is sound; 1 something is damaged; 2 wrong usage, or the store cannot be opened; 130 ended by Ctrl-C.',
  ).action(async (options: StoreOptions) => {
    const { runVerify } = await import('./verify.ts')
    exit(await runVerify(options, terminal()))
  })

  add('gc', 'Removes what nobody needs any more, and gives the space back to the disk.', 'perdure gc --older-than 30d')
    .addOption(new Option('--older-than <time>', 'also runs that ended before that: 90s, 10m, 2h or 3d').argParser(parseDuration))
    .addOption(new Option('--keep <number>', 'also ended runs but for the last so many').argParser(parseCount))
    .action(async (options: GcCommand) => {
      const { runGc } = await import('./gc.ts')
      exit(await runGc(options, terminal()))
    })

  add('export', 'Writes a run, and the runs that belong to it, into a file.', 'perdure export order/7 -o bug.perdure')
    .argument('<run>', RUN)
    .option('-o, --output <file>', 'default: a file in this folder, named after the run')
    .action(async (run: string, options: Omit<ExportCommand, 'run'>) => {
      const { runExport } = await import('./transfer.ts')
      exit(await runExport({ ...options, run }, terminal()))
    })

  add(
    'import',
    'Takes a run from such a file. Nothing of it goes on before somebody asks for it.',
    'perdure import bug.perdure --dir ./lab --create',
  )
    .argument('<file>', 'a file that `perdure export` wrote; - is what comes from the pipe')
    .option('--id <id>', 'the id that it gets here; default: the one that it had')
    .option('--create', 'makes the store if there is none')
    .action(async (file: string, options: Omit<ImportCommand, 'file'>) => {
      const { runImport } = await import('./transfer.ts')
      exit(await runImport({ ...options, file }, terminal()))
    })

  add(
    'replay',
    "Plays a run again with today's code: each answer of a model, a tool or a person comes from the recording.",
    'perdure replay helper/ann --app ./agents.ts',
    'Exit codes: 0 it comes to the same; 1 it does not, or there is no such run; 2 wrong usage, or the store could not be reached.',
  )
    .argument('<run>', 'the id of a run, or its export: a file `*.perdure`')
    .requiredOption(
      '--app <module>',
      'a module that exports `agents` or `machines`, arrays, or `flows`, functions that define them by their names',
    )
    .option('--live', 'asks the models, and executes the calls, that the recording has no answer for')
    .action(async (target: string, options: Omit<ReplayCommand, 'target'>) => {
      const { runReplay } = await import('./replay.ts')
      exit(await runReplay({ ...options, target }, terminal()))
    })

  add(
    'diff',
    'Compares two runs: turns, calls, what they were given and came to, tokens, cost, time.',
    'perdure diff helper/ann before.perdure',
    'Exit codes: 0 they are the same; 1 they are not, or there is no such run; 2 wrong usage, or the store could not be reached.',
  )
    .argument('<run>', 'the id of a run, or its export: a file `*.perdure`')
    .argument('<other>', 'the same')
    .action(async (a: string, b: string, options: Omit<DiffCommand, 'a' | 'b'>) => {
      const { runDiff } = await import('./replay.ts')
      exit(await runDiff({ ...options, a, b }, terminal()))
    })

  program
    .command('machine')
    .summary('Draws a machine as Mermaid, for a README.')
    .description('Draws a machine as Mermaid, for a README.')
    .argument('<name>', 'the id of a machine')
    .requiredOption('--app <module>', 'a module that exports `machines`; it is imported, so it should do nothing else')
    .option('--json', 'its configuration as JSON instead, for Stately Studio')
    .addHelpText('after', '\nExample: perdure machine order --app ./machines.ts > order.mmd')
    .action(async (name: string, options: Omit<MachineCommand, 'name'>) => {
      const { runMachine } = await import('./machine.ts')
      exit(await runMachine({ ...options, name }, terminal()))
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

const UNITS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function parseDuration(text: string): number {
  const [, amount, unit = ''] = /^(\d+)([smhd])$/.exec(text) ?? []
  const ms = UNITS[unit]
  if (amount === undefined || ms === undefined) throw new InvalidArgumentError('Expected a time such as 90s, 10m, 2h or 3d.')
  return Number(amount) * ms
}

export function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > 65_535) throw new InvalidArgumentError('Expected a port from 0 to 65535.')
  return port
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a number.')
  return Number(text)
}
