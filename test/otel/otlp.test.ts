/** What a collector gets over OTLP/HTTP, of a run whose process is killed and started again. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runProgram } from '../support/program.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

/** A span as OTLP's JSON has it, as far as it is read here. */
interface WireSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly links?: readonly { readonly traceId: string; readonly spanId: string }[]
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[]
}
interface WireTraces {
  readonly resourceSpans: readonly { readonly scopeSpans: readonly { readonly spans: readonly WireSpan[] }[] }[]
}

let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

test('a collector gets one trace of a run, before and after its process was killed', async (t) => {
  const spans: WireSpan[] = []
  const collector = createServer(async (request, response) => {
    const body: Buffer[] = []
    for await (const chunk of request) body.push(chunk)
    const { resourceSpans }: WireTraces = JSON.parse(Buffer.concat(body).toString())
    for (const { scopeSpans } of resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans)
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  }).listen(0, '127.0.0.1')
  await once(collector, 'listening')
  t.after(() => collector.close())
  const { port } = collector.address() as AddressInfo // it listens on TCP
  const program = fileURLToPath(new URL('../support/telemetry-app.ts', import.meta.url))
  const cwd = room.path()
  const run = (env: Readonly<Record<string, string>>) =>
    runProgram(program, { cwd: room.root, env: { STORE: cwd, COLLECTOR: `http://127.0.0.1:${port}/v1/traces`, ...env } })

  const killed = await run({ KILL: '1' })
  assert.equal(killed.signal, 'SIGKILL', killed.stderr)
  const before = [...spans]
  assert.deepEqual(before.map(({ name }) => name).toSorted(), [
    'chat m',
    'chat m',
    'chat m',
    'execute_tool wait',
    'invoke_agent a',
    'run a',
  ])
  const ended = await run({})
  assert.equal(ended.exitCode, 0, ended.stderr)
  const later = spans.slice(before.length)
  assert.equal(new Set(spans.map(({ traceId }) => traceId)).size, 1)

  const root = spans.find(({ name }) => name === 'run a')
  const turns = later.filter(({ name }) => name === 'invoke_agent a') // the first came from the store
  assert.deepEqual(
    turns.map(({ parentSpanId }) => parentSpanId),
    [root?.spanId],
  )
  assert.equal(turns[0]?.links?.[0]?.traceId, root?.traceId)
  const answers = later.filter(({ name }) => name === 'chat m')
  assert.equal(answers.length, 1)
  assert.ok(answers.every(({ attributes }) => attributes.some(({ key }) => key === 'gen_ai.usage.input_tokens')))
})
