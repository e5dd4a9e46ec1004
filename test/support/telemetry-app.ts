/** A process that traces a conversation of two turns to a collector. `KILL`: it dies within the second, when what it told up to then has been sent. */
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { buildAgent, openRuntime, tool } from 'perdure'
import { createIdGenerator, traceRuntime } from 'perdure/otel'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'

const { STORE = '', COLLECTOR = '', KILL } = process.env

const exporter = new OTLPTraceExporter({ url: COLLECTOR })
const tracerProvider = new BasicTracerProvider({
  idGenerator: createIdGenerator(),
  spanProcessors: [new SimpleSpanProcessor(exporter)],
})
const wait = tool({
  name: 'wait',
  description: 'Waits',
  effect: 'idempotent',
  input: z.object({ turn: z.string() }),
  async run({ turn }) {
    if (turn !== 'two' || KILL === undefined) return 'waited'
    await tracerProvider.forceFlush()
    process.kill(process.pid, 'SIGKILL')
    return new Promise<string>(() => {})
  },
})
const model = scriptedModel(({ messages }) => {
  const last = messages.at(-1)
  return last?.role === 'tool' ? 'done' : { toolCalls: [{ name: 'wait', arguments: { turn: last?.content ?? '' } }] }
})
const runtime = await openRuntime({ directory: STORE, log: 'silent' })
const telemetry = traceRuntime(runtime, { tracerProvider })
const agent = buildAgent({ name: 'a', systemPrompt: '', model: 'm', allowedTools: ['wait'] }, { model, tools: [wait] })
const session = runtime.durable(agent).session('s')
for (const prompt of ['one', 'two']) await session.run(prompt, { id: prompt })
await runtime.close()
telemetry.unsubscribe()
await tracerProvider.shutdown()
