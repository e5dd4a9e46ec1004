/**
 * What a person sees of the runtime: the two runs of the walk-through, a turn that fails half-way, and a process whose log nobody
 * reads any more.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { buildAgent, type Model, openRuntime, PerdureError, tool } from 'perdure'
import { createLedger, createReporter } from 'perdure/observe'
import { z } from 'zod'
import { createMemoryStream } from '../support/log-scene.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

const PRICES = { inputTokens: 500, outputTokens: 26, cachedInputTokens: 0, reasoningTokens: 0 }

/** A process: its runtime is opened, runs the flow of two turns and is closed. Time passes only while a call is made. */
async function live(
  directory: string,
  {
    failure,
    outage = false,
    priced = true,
    cache = true,
  }: { failure?: Error; outage?: boolean; priced?: boolean; cache?: boolean },
) {
  const stream = createMemoryStream()
  let time = 1_000_000
  const now = (): number => time
  const model: Model = async ({ messages, model: name }, { onText }) => {
    time += 1_400
    const last = messages.at(-1)
    if (outage && last?.role === 'tool') throw new PerdureError('MODEL_UNAVAILABLE', 'The service answered 503.\nTry later.')
    const toolCalls =
      last?.role === 'user' && last.content.startsWith('Look') ? [{ id: 'c1', name: 'look', arguments: '{}' }] : []
    if (toolCalls.length === 0) onText('Three files.')
    const message = { role: 'assistant', content: toolCalls.length === 0 ? 'Three files.' : '', toolCalls } as const
    return { message, usage: PRICES, costUsd: priced ? 0.0011 : undefined, model: name, responseId: undefined }
  }
  const look = tool({
    name: 'look',
    description: 'Looks around',
    input: z.object({}),
    async run() {
      time += 200
      return 'a b c'
    },
  })
  const ledger = createLedger()
  await using runtime = await openRuntime({
    directory,
    log: 'silent',
    clock: { now, setTimeout, clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout) },
    onEvent: createReporter({ format: 'pretty', stream, env: {} }),
  })
  runtime.subscribe(ledger.listener)
  const profile = { name: 'default', systemPrompt: 'Be brief.', model: 'gpt-5-mini', allowedTools: ['look'] }
  const agent = runtime.durable(buildAgent(profile, { model, tools: [look] }))
  const flow = runtime.flow('stage_1', async (_input: string) => {
    const { output } = await agent.run('Look around.')
    if (failure !== undefined) throw failure
    return `${output} ${(await agent.run('Sum it up.')).output}`
  })
  const outcome = await flow.run('here', { id: 'stage_1', cache }).then(
    (output) => output,
    (error: Error) => error,
  )
  return { outcome, lines: stream.text.split('\n').slice(0, -1), ledger: ledger.store.get().context }
}

describe('the walk-through', () => {
  test('pays for turn 1, fails, and pays only for turn 2 when it runs again', async () => {
    const directory = room.path()
    const failure = new Error('FORCE_FAILURE is set: the flow fails between its turns.')
    const first = await live(directory, { failure })
    assert.equal(first.outcome, failure)
    assert.deepEqual(first.lines, [
      '▶ stage_1      started    run stage_1',
      '  ○ default    started',
      '  ● default    finished   2 model calls · 1 tool call · 1,052 tokens · $0.0022 · 3.0 s',
      '✖ stage_1      failed     FORCE_FAILURE is set: the flow fails between its turns.',
      '               spent      2 model calls, 1 tool call, 1,052 tokens, $0.0022 in 3.0 s',
      '               next       run it again: what finished comes from the store and is not paid again',
    ])

    const second = await live(directory, {})
    assert.equal(second.outcome, 'Three files. Three files.')
    assert.deepEqual(second.lines, [
      '▶ stage_1      started    attempt 2 · run stage_1',
      '  ≡ default    reused     2 model calls · 1 tool call · 1,052 tokens · $0.0022 · 3.0 s not paid again',
      '  ○ default_2  started',
      '  ● default_2  finished   1 model call · 526 tokens · $0.0011 · 1.4 s',
      '✔ stage_1      completed',
      '               reused     1 checkpoint: 2 model calls, 1 tool call, 1,052 tokens, $0.0022, 3.0 s not paid again',
      '               spent      1 model call, 526 tokens, $0.0011 in 1.4 s',
    ])
    const run = second.ledger.runs.get('stage_1')
    assert.ok(run?.status === 'completed')
    assert.deepEqual(
      run.checkpoints.map(({ name, status, spent }) => [name, status, spent.modelCalls]),
      [
        ['default', 'reused', 0],
        ['default_2', 'finished', 1],
      ],
    )

    const third = await live(directory, {})
    assert.equal(third.lines.length, 1)
    assert.match(
      third.lines[0] ?? '',
      /^≡ stage_1 {6}reused {5}completed \d.* ago, returned from the store · \{ cache: false \} runs it again$/,
    )

    const fourth = await live(directory, { cache: false })
    assert.deepEqual(fourth.lines.slice(1, 3), [
      '  ○ default    started    again: the cache is off',
      '  ● default    finished   2 model calls · 1 tool call · 1,052 tokens · $0.0022 · 3.0 s',
    ])
  })

  test('goes on within a turn, and never calls an unknown price $0', async () => {
    const directory = room.path()
    const first = await live(directory, { outage: true, priced: false })
    assert.deepEqual(first.lines.slice(2), [
      '  ✖ default    failed     MODEL_UNAVAILABLE: The service answered 503.',
      '               spent      1 model call · 1 tool call · 526 tokens · cost unknown',
      '✖ stage_1      failed     MODEL_UNAVAILABLE in default',
      '               spent      1 model call, 1 tool call, 526 tokens, cost unknown in 3.0 s',
      '               next       run it again: what finished comes from the store and is not paid again',
    ])
    const second = await live(directory, {})
    assert.deepEqual(second.lines.slice(1), [
      '  ○ default    started    had failed: goes on after 1 model call · 1 tool call · 526 tokens · cost unknown · 1.6 s not paid again',
      '  ● default    finished   1 model call · 526 tokens · $0.0011 · 1.4 s',
      '  ○ default_2  started',
      '  ● default_2  finished   1 model call · 526 tokens · $0.0011 · 1.4 s',
      '✔ stage_1      completed',
      '               reused     1 model call, 1 tool call, 526 tokens, cost unknown, 1.6 s not paid again',
      '               spent      2 model calls, 1,052 tokens, $0.0022 in 2.8 s',
    ])
  })
})

describe('`log`', () => {
  /** Runs a program that opens a runtime in the environment `env` and runs a flow of one step. */
  function run(options: { readonly env?: Record<string, string>; readonly log?: string; readonly deaf?: boolean }) {
    const log = options.log === undefined ? '' : `, log: ${JSON.stringify(options.log)}`
    const program = `
      import { openRuntime } from 'perdure'
      import { createReporter } from 'perdure/observe'
      await using runtime = await openRuntime({ directory: ${JSON.stringify(room.path())}${log} })
      const flow = runtime.flow('count', async (to, { step }) => {
        for (let i = 0; i < to; i++) await step('one', () => i)
        return 'counted'
      })
      console.log(await flow.run(${options.deaf ? 200 : 1}, { id: 'count' }))
      const terminal = { isTTY: true, columns: 80, write() {} }
      const report = createReporter({ format: 'pretty', stream: terminal, env: {} })
      report({ type: 'checkpoint.started', runId: 'a/main', checkpoint: 'a', kind: 'turn', reason: 'new', changed: [], reused: {}, time: 0 })
      report({ type: 'call.started', runId: 'a/main', checkpoint: 'a', key: 'k', kind: 'model', name: 'm', attempt: 1, inDoubt: false, time: 0 })
      // The call never settles: its progress must not keep the process alive.`
    const env = { PATH: process.env.PATH }
    const child = spawn(process.execPath, ['--conditions=perdure/source', '--input-type=module', '--eval', program], {
      env: { ...env, ...options.env },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk) => {
      stdout += chunk
    })
    if (options.deaf) child.stderr.destroy()
    else
      child.stderr.on('data', (chunk) => {
        stderr += chunk
      })
    return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => resolve({ code, stdout, stderr }))
    })
  }

  test('is pretty by default, and goes to standard error', async () => {
    const { code, stdout, stderr } = await run({})
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'counted\n' })
    assert.deepEqual(stderr.split('\n').slice(0, 2), ['▶ count        started    run count', '  ○ one        started'])
  })

  test('is what PERDURE_LOG says, unless that is no format or the program says otherwise', async () => {
    const [json, wrong, told] = await Promise.all([
      run({ env: { PERDURE_LOG: 'json' } }),
      run({ env: { PERDURE_LOG: 'loud' } }),
      run({ env: { PERDURE_LOG: 'json' }, log: 'silent' }),
    ])
    const types = json.stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).type)
    assert.deepEqual(types, ['run.started', 'checkpoint.started', 'checkpoint.finished', 'run.completed'])
    assert.match(wrong.stderr, /^▶ count/)
    assert.equal(told.stderr, '')
  })

  test('that nobody reads any more does not end the program', async () => {
    const { code, stdout } = await run({ deaf: true })
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'counted\n' })
  })

  test('that is no format is refused before anything is opened', async () => {
    const log = 'loud' as 'json' // a JavaScript caller's mistake
    await assert.rejects(openRuntime({ directory: room.path(), log }), {
      name: 'TypeError',
      message: "Expected `log` to be 'pretty', 'json' or 'silent', got `loud` (string)",
    })
  })
})
