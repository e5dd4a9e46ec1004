import { spawn } from 'node:child_process'

/** How a program ended, and what it said. */
export interface Ended {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProgramOptions {
  readonly cwd: string
  /** Besides `PATH`: nothing of our own environment reaches it, no key and no flag. */
  readonly env?: Readonly<Record<string, string>>
}

/** Runs a TypeScript program as a reader of the docs does, against the sources, to its end. */
export function runProgram(file: string, { cwd, env = {} }: ProgramOptions): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--conditions=perdure/source', file], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH ?? '', ...env },
    })
    const said = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said.stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said.stderr += text
    })
    child.once('error', reject)
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal, ...said }))
  })
}
