import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { type ExecOptions, execTool } from '../../src/actors/exec.ts'
import type { ToolContext } from '../../src/actors/tool.ts'
import { eventually } from './processes.ts'
import { createTempRoom } from './temp-room.ts'

/** What the `exec` tool tells a model. */
export interface Report {
  readonly exitCode: number | null
  readonly signal?: string
  readonly timedOut: boolean
  readonly stdout: string
  readonly stderr: string
  readonly cutBytes?: { readonly stdout?: number; readonly stderr?: number }
  readonly note?: string
}

/** A temporary folder to run commands in with the `exec` tool; its maker removes it when the tests are done. */
export async function createExecRoom() {
  const { root, path, remove } = await createTempRoom()

  function toContext(signal = new AbortController().signal): ToolContext {
    return { signal, key: 'key', attempt: 1, callId: 'call', runId: 'run', progress: () => {} }
  }

  function execute(input: Record<string, unknown>, options?: ExecOptions, signal?: AbortSignal) {
    return execTool({ cwd: root, ...options }).execute(JSON.stringify(input), toContext(signal))
  }

  /** Runs a command that must have a result, and reads it. */
  async function report(command: string, input: Record<string, unknown> = {}, options?: ExecOptions): Promise<Report> {
    const { content, isError } = await execute({ command, ...input }, options)
    assert.equal(isError, false, content)
    return JSON.parse(content)
  }

  /** A file that a command writes process ids to, and a reader that waits until a line of `count` of them is in it. */
  function pidFile(count: number) {
    const file = path('pids')
    const read = () =>
      eventually(`${count} pids in ${file}`, async () => {
        const text = await readFile(file, 'utf8').catch(() => '')
        const pids = text.trim().split(/\s+/).map(Number)
        return text.endsWith('\n') && pids.length === count ? pids : undefined
      })
    return { path: file, read }
  }

  return { folder: root, path, toContext, execute, report, pidFile, remove }
}
