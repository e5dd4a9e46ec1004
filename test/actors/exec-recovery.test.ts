import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { toFolderName } from '../../src/actors/command-files.ts'
import { execTool } from '../../src/actors/exec.ts'
import type { ToolContext } from '../../src/actors/tool.ts'
import { isPerdureError, PerdureError } from '../../src/errors.ts'
import { createCommandRoom } from '../support/command-room.ts'
import { createExecRoom, type Report } from '../support/exec-room.ts'
import { isAlive } from '../support/processes.ts'

// What would break these: a report that depends on whether the command was supervised.

const { toContext, report, folder, remove } = await createExecRoom()
const room = await createCommandRoom()
after(remove)
after(room.remove)

const skip = process.platform === 'win32' && 'commands are supervised on Linux and macOS'
const exec = execTool({ cwd: folder })
const text = (command: string, more = {}) => JSON.stringify({ command, ...more })

function toDurable(more: Partial<ToolContext> = {}) {
  const directory = room.path('call')
  return { ...toContext(), ...more, directory }
}

for (const [command, input] of [
  ['echo out; echo err >&2; exit 3', {}],
  ['kill -KILL $$', {}],
  ['no-such-command-here', {}],
  [`printf '%s' "a  b" 'c"d' é`, {}],
  ['pwd -P', { cwd: '/' }],
  ['yes | head -c 5000000', {}],
  ['head -c 100000 /dev/zero', {}],
  [`printf 'Stra\\337e'; i=0; while [ $i -lt 40000 ]; do printf 'ü'; i=$((i+1)); done`, {}],
  ['echo begin; sleep 1000', { timeoutMs: 300 }],
  ['cat; echo end', {}],
  ['(sleep 0.05; echo late) & echo early', {}],
] as const) {
  test(`a supervised command is reported as any other: ${command}`, { skip }, async () => {
    const expected = await report(command, input)
    const context = toDurable()
    const { content, isError } = await exec.execute(text(command, input), context)
    assert.equal(isError, false)
    assert.deepEqual(JSON.parse(content), expected)
    // The same is told again after a crash.
    assert.deepEqual(await exec.recover?.(text(command, input), context), {
      status: 'settled',
      value: { content, isError: false },
    })
  })
}

test('a background process that holds the output open does not hold the result of a supervised command', { skip }, async () => {
  const { content } = await exec.execute(text('sleep 1000 & echo $!'), toDurable())
  const { stdout, note }: Report = JSON.parse(content)
  assert.match(note ?? '', /^A process that the command left in the background still runs/)
  assert.equal(isAlive(Number(stdout)), true)
  process.kill(Number(stdout), 'SIGKILL')
})

for (const [shell, command, code] of [
  ['/no/such/shell', 'true', 'ENOENT'],
  ['/bin/sh', `: ${'x'.repeat(4_000_000)}`, 'E2BIG'],
] as const) {
  test(`a supervised command that cannot be started is an error result: ${code}`, { skip }, async () => {
    const context = toDurable()
    const tool = execTool({ shell })
    const { content, isError } = await tool.execute(text(command), context)
    assert.equal(isError, true)
    assert.match(content, new RegExp(`^Tool \`exec\` failed: The command could not be started: .*${code}`))
    const recovery = await tool.recover?.(text(command), context)
    assert.ok(recovery?.status === 'settled' && 'value' in recovery)
    assert.deepEqual(recovery.value, { content, isError })
  })
}

test('what a command prints is the progress of its call', { skip }, async () => {
  const seen: unknown[] = []
  await exec.execute(text('echo out; echo err >&2'), toDurable({ progress: (value) => seen.push(value) }))
  assert.deepEqual(seen, [
    { stream: 'stdout', text: 'out\n' },
    { stream: 'stderr', text: 'err\n' },
  ])
})

test('a cancellation ends a supervised command and throws ABORTED, a suspension leaves it running', { skip }, async () => {
  for (const reason of [undefined, new PerdureError('STORE_CLOSED', 'The store is closed')]) {
    const controller = new AbortController()
    const context = toDurable({ signal: controller.signal })
    const running = exec.execute(text('sleep 1000'), context)
    const { command } = await room.pidsOf(context.directory)
    controller.abort(reason)
    await assert.rejects(running, (error) => isPerdureError(error, 'ABORTED'))
    assert.equal(isAlive(command), reason !== undefined)
    const again = { ...context, signal: AbortSignal.abort() }
    if (reason !== undefined) await assert.rejects(async () => exec.recover?.(text('sleep 1000'), again), { code: 'ABORTED' })
    await room.dead(command)
  }
})

test('without a folder, and after a run without a supervisor, nobody can tell', async () => {
  assert.deepEqual(await exec.recover?.(text('true'), toContext()), { status: 'unknown' })
  const context = toDurable()
  mkdirSync(join(context.directory, toFolderName(1, 'direct')), { recursive: true })
  assert.equal((await exec.recover?.(text('true'), context))?.status, 'unknown')
  assert.deepEqual(await exec.recover?.(text('true'), { ...context, attempt: 2 }), { status: 'notStarted' })
})
