/**
 * One trace for each run, with those that belong to it: its spans are told by the runtime's events, with the times of these. What a process leaves open when it dies is
 * told by nobody; the next one goes on in the same trace.
 */
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { Content } from '../runtime/content-channel.ts'
import type { RuntimeEvent } from '../runtime/events.ts'
import {
  toCallAttributes,
  toErrorType,
  toOperation,
  toReuseAttributes,
  toSpendAttributes,
  toTurnAttributes,
} from './attributes.ts'
import { putContent } from './content.ts'
import { startWithIds, toIds, toTraceId } from './ids.ts'

type Event<T extends RuntimeEvent['type']> = Extract<RuntimeEvent, { readonly type: T }>

/** Writes down what a runtime does. */
export interface SpanWriter {
  readonly hear: (event: RuntimeEvent) => void
  readonly hearContent: (content: Content) => void
  /** Ends what is open as interrupted. */
  readonly close: () => void
}

/** A run of which something is under way. */
interface TracedRun {
  readonly traceId: string
  /** Below what its turns and calls are, unless something of it is under way. */
  readonly context: Context
  /** Whether spans have the ids that they are given: then those of an attempt before are known. */
  readonly isNamed: boolean
  /** The attempt at the function of a flow. */
  flow: Span | undefined
  turn: Span | undefined
  readonly steps: Map<string, Span>
  readonly calls: Map<string, { readonly span: Span; readonly kind: string; readonly isRecovery: boolean }>
  /** Those whose trace it has, and that are below one of its spans. */
  readonly children: Set<string>
}

interface SpanStart {
  readonly name: string
  readonly time: number
  readonly attributes: Attributes
  readonly parent: Span | undefined
  readonly kind?: SpanKind
  /** What it is an attempt at, and which. */
  readonly attempt?: readonly [name: string, attempt: number]
}

export function createSpanWriter(tracer: Tracer): SpanWriter {
  const runs = new Map<string, TracedRun>()

  /** Finds the trace of a run, or goes on with it. */
  const open = ({ runId, runCreatedAt }: { runId: string; runCreatedAt: number }, name: string, isNew: boolean): TracedRun => {
    const known = runs.get(runId)
    if (known !== undefined) return known
    const ids = toIds(toTraceId(runId, runCreatedAt))
    const startTime = new Date(runCreatedAt)
    const attributes = { 'perdure.run.id': runId }
    // The sampler decides here, by the id of the trace. Only the process that begins a run tells of its root: others take the place of it.
    const root = startWithIds(ids, () => tracer.startSpan(name, { root: true, startTime, attributes }))
    const { spanId, traceFlags } = root.spanContext()
    const isNamed = spanId === ids.spanId
    if (isNamed && isNew) root.end(startTime)
    const place = { ...ids, traceFlags: isNamed ? traceFlags : TraceFlags.SAMPLED, isRemote: true }
    const run = toRun(ids.traceId, trace.setSpanContext(ROOT_CONTEXT, place), isNamed)
    runs.set(runId, run)
    return run
  }
  const openBelow = (runId: string, parent: TracedRun): TracedRun => {
    const run = runs.get(runId) ?? toRun(parent.traceId, parent.context, parent.isNamed)
    parent.children.add(runId)
    runs.set(runId, run)
    return run
  }
  /** Forgets a run of which nothing is under way: its ids are worked out again. */
  const leave = (runId: string, run: TracedRun): void => {
    const isOpen = run.flow !== undefined || run.turn !== undefined || run.steps.size > 0 || run.calls.size > 0
    if (!isOpen) runs.delete(runId)
  }

  const start = (run: TracedRun, runId: string, { name, time, parent, kind, attributes, attempt }: SpanStart): Span => {
    const context = parent === undefined ? run.context : trace.setSpan(ROOT_CONTEXT, parent)
    const options = { startTime: new Date(time), kind: kind ?? SpanKind.INTERNAL, attributes }
    if (attempt === undefined) return tracer.startSpan(name, options, context)
    const [what, number] = attempt
    const toAttemptIds = (of: number) => toIds(run.traceId, runId, what, of)
    const span = startWithIds(toAttemptIds(number), () => tracer.startSpan(name, options, context))
    if (run.isNamed && number > 1)
      span.addLink({
        context: { ...toAttemptIds(number - 1), traceFlags: span.spanContext().traceFlags, isRemote: true },
        attributes: { 'perdure.link': 'attempt before', 'perdure.attempt': number - 1 },
      })
    return span
  }

  const interrupt = (span: Span | undefined, time: number): void => {
    span?.setAttribute('perdure.interrupted', true)
    span?.end(new Date(time))
  }
  /** Ends what is open of a run and of those below it. */
  const interruptRun = (runId: string, run: TracedRun, time: number): void => {
    for (const id of run.children) {
      const child = runs.get(id)
      if (child !== undefined) interruptRun(id, child, time)
    }
    for (const { span } of run.calls.values()) interrupt(span, time)
    for (const span of run.steps.values()) interrupt(span, time)
    interrupt(run.turn, time)
    interrupt(run.flow, time)
    runs.delete(runId)
  }

  const startTurn = (event: Event<'checkpoint.started'>, of: NonNullable<typeof event.of>): void => {
    const { runId, checkpoint, time } = event
    const above = of.parent === undefined ? undefined : runs.get(of.parent.runId)
    const isNew = of.turn === 1 && of.attempt === 1
    const run = above === undefined ? open(event, `run ${of.agent}`, isNew) : openBelow(runId, above)
    const caller = of.parent?.key === undefined ? undefined : above?.calls.get(of.parent.key)?.span
    interrupt(run.turn, time)
    run.turn = start(run, runId, {
      name: `invoke_agent ${of.agent}`,
      time,
      parent: caller ?? above?.flow,
      attributes: { ...toTurnAttributes(event), ...toReuseAttributes(event.reused), 'perdure.checkpoint': checkpoint },
      attempt: [`turn/${of.turn}`, of.attempt],
    })
  }
  const startCall = (event: Event<'call.started' | 'call.recovering'>): void => {
    const { runId, key, kind, name, time, attempt } = event
    const run = open(event, `run ${runId}`, false)
    const before = run.calls.get(key)
    if (before?.isRecovery) before.span.end(new Date(time))
    else interrupt(before?.span, time)
    const isRecovery = event.type === 'call.recovering'
    const doubt = isRecovery ? { 'perdure.recovering': true } : event.inDoubt ? { 'perdure.in_doubt': true } : {}
    if (event.provider !== undefined) run.turn?.setAttribute('gen_ai.provider.name', event.provider)
    const span = start(run, runId, {
      name: `${toOperation(kind)} ${name}`,
      time,
      parent: run.turn,
      kind: kind === 'model' ? SpanKind.CLIENT : SpanKind.INTERNAL,
      attributes: { ...toCallAttributes(event), ...doubt },
      ...(isRecovery ? {} : { attempt: [`call/${key}`, attempt] as const }),
    })
    run.calls.set(key, { span, kind, isRecovery })
  }
  const settleCall = (event: Event<'call.settled'>): void => {
    const { runId, key, status, spent, resolution, answered } = event
    const run = runs.get(runId)
    const span = run?.calls.get(key)?.span
    if (run === undefined || span === undefined) return
    span.setAttributes({
      ...(event.kind === 'model' ? toSpendAttributes(spent) : {}),
      ...(answered === undefined ? {} : { 'gen_ai.response.model': answered.model, 'gen_ai.response.id': answered.responseId }),
      ...(resolution === undefined ? {} : { 'perdure.resolution': resolution }),
    })
    if (status === 'error') fail(span, toErrorType(event.error))
    else if (event.isToolError) fail(span, 'tool_error')
    span.end(new Date(event.time))
    run.calls.delete(key)
    leave(runId, run)
  }
  const endCheckpoint = (event: Event<'checkpoint.finished' | 'checkpoint.failed'>): void => {
    const { runId, kind, checkpoint, spent, time } = event
    const run = runs.get(runId)
    const span = kind === 'turn' ? run?.turn : run?.steps.get(checkpoint)
    if (run === undefined || span === undefined) return
    if (kind === 'turn') {
      for (const [key, { span: call }] of run.calls) {
        interrupt(call, time)
        run.calls.delete(key)
      }
      run.turn = undefined
    } else run.steps.delete(checkpoint)
    span.setAttributes(toSpendAttributes(spent))
    if (event.type === 'checkpoint.failed') fail(span, toErrorType(event.error))
    else span.setAttributes(toReuseAttributes(event.reused))
    span.end(new Date(time))
    leave(runId, run)
  }
  const endFlow = (event: Event<'run.completed' | 'run.failed'>): void => {
    const { runId, receipt, time } = event
    const run = runs.get(runId)
    if (run?.flow === undefined) return
    run.flow.setAttributes({ ...toSpendAttributes(receipt.spent), ...toReuseAttributes(receipt.reused) })
    if (event.type === 'run.failed') fail(run.flow, toErrorType(event.error))
    run.flow.end(new Date(time))
    run.flow = undefined
    interruptRun(runId, run, time)
  }
  /** Notes something on what is under way of a run. */
  const note = (span: Span | undefined, event: RuntimeEvent, attributes: Attributes): void =>
    void span?.addEvent(event.type, attributes, new Date(event.time))

  /** The whole life of a machine's run, told by the process that saw its end. */
  const endMachine = (event: Event<'machine.completed' | 'machine.failed' | 'machine.cancelled'>): void => {
    const { runId, runCreatedAt, name, time } = event
    const run = open(event, `run ${name}`, false)
    const attributes = { 'perdure.run.id': runId, 'perdure.machine.name': name }
    const span = start(run, runId, { name: `machine ${name}`, time: runCreatedAt, parent: undefined, attributes })
    if (event.type === 'machine.failed') fail(span, toErrorType(event.error))
    if (event.type === 'machine.cancelled') span.setAttribute('perdure.cancelled', true)
    span.end(new Date(time))
    interruptRun(runId, run, time)
  }

  return {
    hear(event) {
      switch (event.type) {
        case 'run.started': {
          const { runId, name, attempt, time } = event
          const run = open(event, `run ${name}`, attempt === 1)
          interrupt(run.flow, time)
          const attributes = { 'perdure.run.id': runId, 'perdure.flow.name': name, 'perdure.attempt': attempt }
          run.flow = start(run, runId, { name: `flow ${name}`, time, parent: undefined, attributes, attempt: ['flow', attempt] })
          return
        }
        case 'run.completed':
        case 'run.failed':
          return endFlow(event)
        case 'machine.started': {
          const run = open(event, `run ${event.name}`, true)
          return leave(event.runId, run)
        }
        case 'machine.completed':
        case 'machine.failed':
        case 'machine.cancelled':
          return endMachine(event)
        case 'checkpoint.started': {
          if (event.of !== undefined) return startTurn(event, event.of)
          const { runId, checkpoint: name, reason, time } = event
          const run = runs.get(runId)
          if (run === undefined) return
          const attributes = { 'perdure.run.id': runId, 'perdure.step.name': name, 'perdure.reason': reason }
          run.steps.set(name, start(run, runId, { name: `step ${name}`, time, parent: run.flow, attributes }))
          return
        }
        case 'checkpoint.finished':
        case 'checkpoint.failed':
          return endCheckpoint(event)
        case 'checkpoint.reused':
          return note(findFlow(runs, event.runId), event, {
            'perdure.checkpoint': event.checkpoint,
            ...toReuseAttributes(event.reused),
          })
        case 'call.started':
        case 'call.recovering':
          return startCall(event)
        case 'call.settled':
          return settleCall(event)
        case 'call.reused':
          return note(runs.get(event.runId)?.turn, event, { 'perdure.call.key': event.key })
        case 'call.retried': {
          const run = runs.get(event.runId)
          const call = run?.calls.get(event.key)
          const span = call?.span ?? run?.steps.get(event.checkpoint)
          const about = { 'perdure.attempt': event.attempt, 'perdure.delay_ms': event.delayMs }
          note(span, event, { ...about, 'error.type': toErrorType(event.error) })
          if (call === undefined || call.kind === 'model') return // a model call repeats its requests by itself
          fail(call.span, toErrorType(event.error))
          call.span.end(new Date(event.time))
          run?.calls.delete(event.key)
          return
        }
        case 'question.asked':
        case 'question.answered':
        case 'question.withdrawn': {
          const run = runs.get(event.runId)
          const about = { 'perdure.question.id': event.key, 'perdure.question.kind': event.kind }
          return note(run?.turn ?? run?.steps.get(event.checkpoint) ?? run?.flow, event, about)
        }
      }
    },
    hearContent(content) {
      const run = runs.get(content.runId)
      const call = content.key === undefined ? undefined : run?.calls.get(content.key)
      if (content.key === undefined) {
        if (run?.turn !== undefined) putContent(run.turn, 'turn', content)
      } else if (call?.kind === 'model' || call?.kind === 'tool') putContent(call.span, call.kind, content)
    },
    close() {
      const time = Date.now()
      for (const [runId, run] of runs) interruptRun(runId, run, time)
    },
  }
}

const toRun = (traceId: string, context: Context, isNamed: boolean): TracedRun => ({
  traceId,
  context,
  isNamed,
  flow: undefined,
  turn: undefined,
  steps: new Map(),
  calls: new Map(),
  children: new Set(),
})

function fail(span: Span, type: string): void {
  span.setAttribute('error.type', type)
  span.setStatus({ code: SpanStatusCode.ERROR, message: type })
}

/** The attempt at the flow that a run is, or belongs to: its id begins with the flow's. */
function findFlow(runs: ReadonlyMap<string, TracedRun>, runId: string): Span | undefined {
  for (let id = runId; id !== ''; id = id.slice(0, Math.max(0, id.lastIndexOf('/')))) {
    const flow = runs.get(id)?.flow
    if (flow !== undefined) return flow
  }
  return undefined
}
