import { createHash } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { removeCommands, removeTree } from '../actors/supervised-command.ts'

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
  void removeRemains(root)
  return {
    directoryOf: (run, step) => join(ofRun(run), toName(step)),
    removeOf: (run, step) => removeTree(join(ofRun(run), toName(step))),
    remove: (run) => removeCommands(ofRun(run)),
  }
}

/** A process may have ended in the middle of a removal. */
async function removeRemains(root: string): Promise<void> {
  const names = await readdir(root).catch(() => [])
  for (const name of names)
    if (name.startsWith('gone-')) await rm(join(root, name), { recursive: true, force: true }).catch(() => {}) // next time
}

/** 128 bits of SHA-256: 32 characters that every file system takes, whatever the length and letters of the id. */
const toName = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)
