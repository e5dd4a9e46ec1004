import type { LogStream } from '../../src/observe/log-output.ts'
import type { Receipt, RuntimeEvent } from '../../src/runtime/events.ts'
import { NO_SPEND, type Spend } from '../../src/runtime/spend.ts'

/** A stream that remembers what it was given. */
export interface MemoryStream extends LogStream {
  text: string
  bytesWritten: number
  /** What somebody else writes to it. */
  writeForeign(text: string): void
}

/** Makes a stream in memory; with `columns` it is a terminal. */
export function createMemoryStream(columns?: number): MemoryStream {
  return {
    text: '',
    bytesWritten: 0,
    isTTY: columns !== undefined,
    columns,
    write(text) {
      this.text += text
      this.bytesWritten += Buffer.byteLength(text)
      return true
    },
    writeForeign(text) {
      this.write(text)
    },
  }
}

export const runId = 'research/Zk3_ab12CD34ef56'
const agentRunId = `${runId}/default`
const time = 1_000_000

export const turnOne: Spend = {
  ...NO_SPEND,
  modelCalls: 3,
  toolCalls: 2,
  inputTokens: 1800,
  outputTokens: 304,
  costUsd: 0.0042,
  durationMs: 12_300,
}
export const turnTwo: Spend = {
  ...NO_SPEND,
  modelCalls: 1,
  inputTokens: 600,
  outputTokens: 40,
  costUsd: 0.0011,
  durationMs: 2100,
}

type Part<T extends RuntimeEvent['type']> = Partial<Extract<RuntimeEvent, { readonly type: T }>>

export function toReceipt(receipt: {
  readonly reused?: Partial<Receipt['reused']>
  readonly spent?: Partial<Receipt['spent']>
  readonly repeated?: Partial<Receipt['repeated']>
  readonly doubts?: Receipt['doubts']
}): Receipt {
  return {
    reused: { ...NO_SPEND, checkpoints: 0, ...receipt.reused },
    spent: { ...NO_SPEND, checkpoints: 0, ...receipt.spent },
    repeated: { modelCalls: 0, toolCalls: 0, ...receipt.repeated },
    doubts: receipt.doubts ?? [],
  }
}

const call = { runId: agentRunId, time, checkpoint: 'default', key: 'call/1', kind: 'model', name: 'gpt-5-mini' } as const
const checkpoint = { runId: agentRunId, time, checkpoint: 'default', kind: 'turn' } as const
const run = { runId, time, name: 'research' } as const

/** Events of a run of the flow `research` with the agent `default`, with what a test does not care about filled in. */
export const event = {
  runStarted: (part: Part<'run.started'> = {}): RuntimeEvent => ({
    type: 'run.started',
    ...run,
    runCreatedAt: time,
    attempt: 1,
    ...part,
  }),
  runCompleted: (part: Part<'run.completed'> = {}): RuntimeEvent => ({
    type: 'run.completed',
    ...run,
    durationMs: 2134,
    receipt: toReceipt({}),
    ...part,
  }),
  runFailed: (part: Part<'run.failed'> = {}): RuntimeEvent => ({
    type: 'run.failed',
    ...run,
    durationMs: 2134,
    receipt: toReceipt({}),
    error: new Error('it broke'),
    ...part,
  }),
  runReused: (part: Part<'run.reused'> = {}): RuntimeEvent => ({
    type: 'run.reused',
    ...run,
    completedAt: time - 185_000,
    ...part,
  }),
  started: (part: Part<'checkpoint.started'> = {}): RuntimeEvent => ({
    type: 'checkpoint.started',
    ...checkpoint,
    runCreatedAt: time,
    reason: 'new',
    changed: [],
    reused: NO_SPEND,
    ...part,
  }),
  finished: (part: Part<'checkpoint.finished'> = {}): RuntimeEvent => ({
    type: 'checkpoint.finished',
    ...checkpoint,
    spent: turnOne,
    reused: NO_SPEND,
    durationMs: 12_345,
    ...part,
  }),
  failed: (part: Part<'checkpoint.failed'> = {}): RuntimeEvent => ({
    type: 'checkpoint.failed',
    ...checkpoint,
    spent: NO_SPEND,
    durationMs: 100,
    error: new Error('it broke'),
    ...part,
  }),
  reused: (part: Part<'checkpoint.reused'> = {}): RuntimeEvent => ({
    type: 'checkpoint.reused',
    ...checkpoint,
    runId,
    reused: turnOne,
    ...part,
  }),
  callStarted: (part: Part<'call.started'> = {}): RuntimeEvent => ({
    type: 'call.started',
    ...call,
    runCreatedAt: time,
    attempt: 1,
    inDoubt: false,
    ...part,
  }),
  callSettled: (part: Part<'call.settled'> = {}): RuntimeEvent => ({
    type: 'call.settled',
    ...call,
    status: 'ok',
    spent: turnTwo,
    ...part,
  }),
  callReused: (part: Part<'call.reused'> = {}): RuntimeEvent => ({ type: 'call.reused', ...call, runCreatedAt: time, ...part }),
  callRetried: (part: Part<'call.retried'> = {}): RuntimeEvent => ({
    type: 'call.retried',
    ...call,
    attempt: 1,
    delayMs: 2000,
    error: new Error('busy'),
    ...part,
  }),
  text: (part: Part<'text.received'> = {}): RuntimeEvent => ({ type: 'text.received', ...call, delta: 'Hello', ...part }),
}
