/**
 * A program for tests that is killed at any moment and started again: one call of `exec` with the command argv[4], whose files are below
 * argv[2], with a journal of its own: a file `intent` and a file `settled` in argv[2], the one written before the call and the other after.
 * It stands still, and says so, at the point argv[3]: `before-intent`, `after-intent`, `during`, `before-settle` or `after-settle`; it does
 * not when that is `never`. Started again it brings the call out of doubt. It says what the call came to.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { execTool } from '../../src/actors/exec.ts'
import type { ToolContext } from '../../src/actors/tool.ts'
import type { ToolResult } from '../../src/actors/tool-result.ts'

const [, , directory = '', point = 'never', command = ''] = process.argv
const say = (word: string): void => void writeSync(1, `${word}\n`)
const [intent, settled] = [join(directory, 'intent'), join(directory, 'settled')]
const exec = execTool()
const text = JSON.stringify({ command })

function write(path: string, content: string): void {
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}

async function standStill(here: string): Promise<void> {
  if (here !== point) return
  say(`at ${here}`)
  setInterval(() => {}, 60_000)
  await new Promise(() => {})
}

const toContext = (attempt: number): ToolContext => ({
  signal: new AbortController().signal,
  key: 'key',
  attempt,
  callId: 'call',
  runId: 'run',
  progress: () => void standStill('during'),
  directory: join(directory, 'files'),
})

async function execute(attempt: number): Promise<ToolResult> {
  write(intent, `${attempt}`)
  await standStill('after-intent')
  return exec.execute(text, toContext(attempt))
}

async function recover(attempt: number): Promise<ToolResult> {
  const recovery = (await exec.recover?.(text, toContext(attempt))) ?? { status: 'unknown' }
  say(`recovered ${recovery.status}`)
  if (recovery.status === 'notStarted') return execute(attempt + 1)
  if (recovery.status === 'settled' && 'value' in recovery) return recovery.value
  return { content: recovery.status === 'unknown' ? `unknown: ${recovery.detail}` : 'failed', isError: true }
}

mkdirSync(directory, { recursive: true })
if (!existsSync(settled)) {
  await standStill('before-intent')
  const { content } = existsSync(intent) ? await recover(Number(readFileSync(intent, 'utf8'))) : await execute(1)
  await standStill('before-settle')
  write(settled, content)
  await standStill('after-settle')
}
say(`settled ${readFileSync(settled, 'utf8')}`)
process.exit(0)
