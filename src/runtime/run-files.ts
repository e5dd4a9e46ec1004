import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { removeCommands } from '../actors/supervised-command.ts'

/** The files of steps that outlive the process, such as the output of commands: `<store>/files/<run>/<step>`, names as hashes. */
export interface RunFiles {
  directoryOf(run: string, step: string): string
  /** Removes the files of a step that has settled. */
  removeOf(run: string, step: string): Promise<void>
  /** Ends the commands of a run that still go on, and removes its files. None: nothing happens. */
  remove(run: string): Promise<void>
}

export function createRunFiles(storeDirectory: string): RunFiles {
  const root = join(storeDirectory, 'files')
  const ofRun = (run: string): string => join(root, toName(run))
  return {
    directoryOf: (run, step) => join(ofRun(run), toName(step)),
    removeOf: (run, step) => rm(join(ofRun(run), toName(step)), { recursive: true, force: true }),
    remove: (run) => removeCommands(ofRun(run)),
  }
}

/** 128 bits of SHA-256: 32 characters that every file system takes, whatever the length and letters of the id. */
const toName = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)
