#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander'
import { createLogOutput } from '../observe/log-output.ts'
import type { ExitCode } from './command.ts'
import { type DoctorCommand, runDoctor } from './doctor.ts'
import type { ServeScriptCommand } from './serve-script.ts'
import { addStoreCommands, parsePort } from './store-commands.ts'
import { openTerminal } from './terminal.ts'

const stdout = createLogOutput(process.stdout)
const stderr = createLogOutput(process.stderr)
const { write: out } = stdout
const { write: err } = stderr
let exitCode: ExitCode = 0

const program = new Command('perdure').description('Looks after the runs that Perdure keeps.').exitOverride()
addStoreCommands(program, {
  terminal: () => openTerminal(stdout, stderr, process),
  exit(code) {
    exitCode = code
  },
})
program
  .command('doctor')
  .description(
    'Says which live runs of a store would continue, migrate or be parked with the machines of an app. Starts none and changes none.',
  )
  .addOption(new Option('--dir <directory>', 'the folder of the store').env('PERDURE_DIR').makeOptionMandatory())
  .requiredOption(
    '--app <module>',
    'a module that exports `machines`, an array as for `openRuntime`; it is imported, so it should do nothing else',
  )
  .option('--json', 'an object a line for each live run')
  .addHelpText('after', '\nExit codes: 0 every run continues or migrates; 1 some do not; 2 the question could not be answered.')
  .action(async (options: DoctorCommand) => {
    exitCode = await runDoctor(options, { out, err })
  })
program
  .command('serve-script <file>')
  .description(
    'Serves a script of model answers as OpenAI serves a model, for tests in any language, until it is interrupted. Prints its URL.',
  )
  .option('--port <number>', 'the port on 127.0.0.1; default: one that is free', parsePort)
  .option('--ledger <file>', 'a file that gets a line for each request and each answer')
  .addHelpText(
    'after',
    '\nThe file is JSON, an array of answers, or a module that exports `script`.\nExit codes: 0 the script was followed; 1 it was not; 2 it could not be served.',
  )
  .action(async (file: string, options: Omit<ServeScriptCommand, 'file'>) => {
    const { runServeScript } = await import('./serve-script.ts') // a server of HTTP, which the other commands need not load
    const interrupted = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort())
    exitCode = await runServeScript({ file, ...options }, { out, err }, interrupted.signal)
  })

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error // it has been printed
  exitCode = error.exitCode === 0 ? 0 : 2
}
// The app's module may have left something open that would keep this process.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)))
