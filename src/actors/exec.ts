import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { z } from 'zod'
import { toCommandEnv } from './command-env.ts'
import { type Tool, tool } from './tool.ts'
import { toArgumentError } from './value-text.ts'

/** How the `exec` tool runs commands. */
export interface ExecOptions {
  /** Where commands run; a relative `cwd` from the model starts here. Default: the current folder when a command starts. */
  readonly cwd?: string | undefined
  /**
   * Variables that commands get besides the harmless ones of our environment (`PATH`, `HOME`, `LANG`, …). No other variable of
   * ours reaches a command, so name what it needs. Default: none.
   */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Time limit of a command when the model does not ask for another. Milliseconds; default: 120,000. */
  readonly timeoutMs?: number | undefined
  /** Bytes kept of stdout, and as many of stderr: the first half and the last half. Default: 65,536. */
  readonly maxOutputBytes?: number | undefined
  /** Path of the shell that is given the command with `-c`. Default: `/bin/sh`, on Windows `cmd.exe`. */
  readonly shell?: string | undefined
}

const defaultTimeoutMs = 120_000
/** What a model may ask for, unless the default is longer. */
const longestTimeoutMs = 600_000
const longestTimerMs = 2 ** 31 - 1
const defaultMaxOutputBytes = 64 * 1024

/** What runs commands is loaded with the first: importing the package costs little. */
const loadRun = () => import('./exec-run.ts')

/**
 * The built-in tool `exec`: runs a shell command and gives the model its exit code, stdout and stderr as JSON.
 *
 * A non-zero exit, a time-out and a command that is not found are results. An abort ends the command's whole process group and
 * then throws. Memory is bounded whatever the command prints, and the environment is an allow-list. This is not a sandbox: a
 * command has the rights of our process, and may read the files and the process table that those rights allow.
 *
 * In a durable agent, on Linux and macOS, a command outlives our process: a supervisor goes on watching over it, up to its time limit, and
 * the run that is resumed waits for it, or takes its result. Only if that died too, or the machine, is its outcome unknown: then the model is
 * told so and given the output so far. Elsewhere a command ends with our process, and its outcome is always unknown then. What it prints is
 * the call's progress: `{ stream: 'stdout' | 'stderr', text }`.
 *
 * @throws TypeError when an option is wrong.
 */
export function execTool(options: ExecOptions = {}): Tool {
  const { timeoutMs = defaultTimeoutMs, maxOutputBytes = defaultMaxOutputBytes } = options
  assertInteger('timeoutMs', timeoutMs, longestTimerMs)
  assertInteger('maxOutputBytes', maxOutputBytes, 64 * 1024 * 1024)
  assertText('cwd', options.cwd)
  assertText('shell', options.shell)
  const env = options.env ?? {}
  for (const [name, value] of Object.entries(env)) assertText(`env.${name}`, value)
  const maxTimeoutMs = Math.max(timeoutMs, longestTimeoutMs)

  return tool({
    name: 'exec',
    description:
      `Runs a shell command and returns JSON: exitCode, stdout, stderr, timedOut. There is no stdin. Of each stream the first and ` +
      `the last ${Math.floor(maxOutputBytes / 2)} bytes are kept. A command that should go on running belongs in the background ` +
      `with its output in a file: \`server > log.txt 2>&1 &\`.`,
    input: z.strictObject({
      command: text('The command, as a shell reads it.'),
      cwd: text('The folder to run it in.').optional(),
      timeoutMs: z.int().min(1).max(maxTimeoutMs).optional().describe(`Time limit in milliseconds. Default: ${timeoutMs}.`),
    }),
    // JSON writes a byte with up to six: the result is bounded by the streams, and not cut again.
    maxResultBytes: 12 * maxOutputBytes + 8 * 1024,
    async run(input, context) {
      const cwd = resolve(options.cwd ?? '.', input.cwd ?? '.')
      await assertFolder(cwd)
      const command = {
        text: input.command,
        cwd,
        env: toCommandEnv(env),
        shell: options.shell ?? true,
        timeoutMs: input.timeoutMs ?? timeoutMs,
        maxOutputBytes,
      } as const
      return (await loadRun()).runExec(command, context)
    },
    recover: async (context) => (await loadRun()).recoverExec(context.args.timeoutMs ?? timeoutMs, context),
  })
}

function text(description: string) {
  return z
    .string()
    .min(1)
    .refine((value) => !value.includes('\0'), 'Expected no NUL character')
    .describe(description)
}

async function assertFolder(path: string): Promise<void> {
  const info = await stat(path).catch(() => undefined)
  if (info?.isDirectory()) return
  throw new Error(`the folder \`${path}\` ${info === undefined ? 'does not exist' : 'is not a folder'}; the command was not run`)
}

function assertInteger(name: string, value: unknown, max: number): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) return
  throw toArgumentError(name, `an integer from 1 to ${max}`, value)
}

function assertText(name: string, value: unknown): void {
  if (value === undefined || (typeof value === 'string' && !value.includes('\0'))) return
  // The value stays out: it may be a secret. P11
  throw new TypeError(`Expected \`${name}\` to be a string without NUL characters`)
}
