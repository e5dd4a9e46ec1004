import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isPerdureError, toMessage } from '../errors.ts'
import { toFirstLine } from '../observe/safe-text.ts'
import { type OpenAIServer, openaiServer } from '../testing/openai/server.ts'
import type { Script } from '../testing/script.ts'
import type { CommandOutput, ExitCode } from './command.ts'

/** What the command `perdure serve-script` was given. */
export interface ServeScriptCommand {
  /** A `.json` file with an array of answers, or a module that exports `script`. */
  readonly file: string
  /** Default: one that is free. */
  readonly port?: number | undefined
  /** A file that gets a line for each request and answer. */
  readonly ledger?: string | undefined
}

/**
 * Runs `perdure serve-script`: serves a script as OpenAI serves a model until `signal` aborts. The URL is the one line on `out`; what was not as the script has it comes on
 * `err` at the end. Never throws. `0`: it was. `1`: answers were never asked for, or something else was. `2`: it could not be served.
 */
export async function runServeScript(
  { file, port, ledger }: ServeScriptCommand,
  { out, err }: CommandOutput,
  signal: AbortSignal,
): Promise<ExitCode> {
  const say = (error: unknown): void =>
    err(`perdure serve-script: ${isPerdureError(error) ? `${error.code}: ` : ''}${toFirstLine(toMessage(error))}\n`)
  let server: OpenAIServer
  try {
    const script = await loadScript(file)
    server = await openaiServer({
      script,
      ...(port !== undefined && { port }),
      ...(ledger !== undefined && { ledgerFile: ledger }),
    })
  } catch (error) {
    say(error)
    return 2
  }
  out(`${server.url}\n`)
  if (!signal.aborted) await once(signal, 'abort')
  await server.close()
  for (const { method, path, status, message } of server.rejections)
    say(new Error(`${method} ${path} was refused with ${status}: ${message}`))
  try {
    server.done()
  } catch (error) {
    say(error)
    return 1
  }
  return server.rejections.length === 0 ? 0 : 1
}

async function loadScript(file: string): Promise<Script> {
  let found: unknown
  try {
    found = file.endsWith('.json') ? JSON.parse(await readFile(file, 'utf8')) : await importScript(file)
  } catch (error) {
    throw new Error(`The script ${file} cannot be loaded: ${toMessage(error)}`, { cause: error })
  }
  if (!Array.isArray(found) && typeof found !== 'function') {
    const what = file.endsWith('.json') ? 'be an array of answers' : 'export `script`, an array of answers or a function'
    throw new TypeError(`Expected ${file} to ${what}, got ${found === null ? 'null' : typeof found}`)
  }
  const index = Array.isArray(found) ? found.findIndex((answer) => typeof answer !== 'string' && !isObject(answer)) : -1
  if (index >= 0)
    throw new TypeError(
      `Expected answer ${index + 1} of ${file} to be a text or an object, got \`${String((found as readonly unknown[])[index])}\``,
    )
  return found as Script // what is in an answer is the author's: the first request shows
}

async function importScript(file: string): Promise<unknown> {
  const { script }: { readonly script?: unknown } = await import(pathToFileURL(resolve(file)).href)
  return script
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value)
