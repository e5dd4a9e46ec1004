#!/usr/bin/env node
import { Command, CommanderError, Option } from 'commander'
import { createLogOutput } from '../observe/log-output.ts'
import { type DoctorCommand, type ExitCode, runDoctor } from './doctor.ts'

const { write: out } = createLogOutput(process.stdout)
const { write: err } = createLogOutput(process.stderr)
let exitCode: ExitCode = 0

const program = new Command('perdure').description('Looks after the runs that Perdure keeps.').exitOverride()
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

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) throw error // it has been printed
  exitCode = error.exitCode === 0 ? 0 : 2
}
// The app's module may have left something open that would keep this process.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)))
