import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
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
  const ofRun = (run: string): string => join(root, toFolderName(run))
  void removeRemains(root)
  return {
    directoryOf: (run, step) => join(ofRun(run), toFolderName(step)),
    async removeOf(run, step) {
      // Most steps have none, and to ask costs less than to remove nothing.
      const directory = join(ofRun(run), toFolderName(step))
      if (existsSync(directory)) await removeTree(directory)
    },
    remove: (run) => removeCommands(ofRun(run)),
  }
}

/** A process may have ended in the middle of a removal. */
async function removeRemains(root: string): Promise<void> {
  const names = await readdir(root).catch(() => [])
  for (const name of names)
    if (name.startsWith('gone-')) await rm(join(root, name), { recursive: true, force: true }).catch(() => {}) // next time
}

/** The folders that there are, for what removes those that nobody needs any more. Names are hashes: whose they are is known by {@link toFolderName}. */
export interface RunFolders {
  /** By run, its steps. */
  list(): Promise<Map<string, readonly string[]>>
  /** The folder of a step, or that of a run: then its commands are ended. */
  remove(run: string, step?: string): Promise<void>
}

export function createRunFolders(storeDirectory: string): RunFolders {
  const root = join(storeDirectory, 'files')
  const namesIn = async (directory: string): Promise<readonly string[]> =>
    (await readdir(directory).catch(() => [])).filter((name) => /^[0-9a-f]{32}$/.test(name))
  return {
    async list() {
      const runs = new Map<string, readonly string[]>()
      for (const run of await namesIn(root)) runs.set(run, await namesIn(join(root, run)))
      return runs
    },
    remove: (run, step) => (step === undefined ? removeCommands(join(root, run)) : removeTree(join(root, run, step))),
  }
}

/** 128 bits of SHA-256: 32 characters that every file system takes, whatever the length and letters of the id. */
export const toFolderName = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)
