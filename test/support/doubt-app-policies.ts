import type { OnDoubt, Recovery, ToolEffect } from 'perdure'

/** What the outside world, a server in the test's process, saw of an effect: the attempts, in their order. */
export type AskWorld = (key: string) => Promise<readonly number[]>

/** How a step in doubt is treated. */
export interface DoubtAppPolicy {
  readonly effect: ToolEffect
  readonly onDoubt?: OnDoubt
  readonly recover?: (key: string, ask: AskWorld) => Promise<Recovery<string>> | Recovery<string>
  /** What a person answers when asked. */
  readonly answer?: unknown
}

/** Every policy there is, by a name for tests. */
export const doubtPolicies = {
  none: { effect: 'none' },
  idempotent: { effect: 'idempotent' },
  report: { effect: 'external' },
  'report by word': { effect: 'idempotent', onDoubt: 'report' },
  retry: { effect: 'external', onDoubt: 'retry' },
  'ask, answered with a result': { effect: 'external', onDoubt: 'ask', answer: { result: { sent: 1 } } },
  'ask, answered with an error': { effect: 'external', onDoubt: 'ask', answer: { error: 'the post office is closed' } },
  'ask, answered with retry': { effect: 'external', onDoubt: 'ask', answer: { retry: true } },
  'recover by the key': {
    effect: 'external',
    async recover(key, ask) {
      const [attempt] = await ask(key)
      return attempt === undefined ? { status: 'notStarted' } : { status: 'settled', value: `found ${attempt}` }
    },
  },
  'recover: settled with an error': {
    effect: 'external',
    recover: () => ({ status: 'settled', error: new Error('it was refused') }),
  },
  'recover: not started': { effect: 'external', recover: () => ({ status: 'notStarted' }) },
  'recover: unknown': { effect: 'external', recover: () => ({ status: 'unknown', detail: 'The log is gone.' }) },
  'recover: unknown, then retry': { effect: 'idempotent', recover: () => ({ status: 'unknown' }) },
  'recover: throws': {
    effect: 'external',
    recover() {
      throw new Error('no connection')
    },
  },
} satisfies Readonly<Record<string, DoubtAppPolicy>>

export type DoubtPolicyName = keyof typeof doubtPolicies

/** What has the effect: a tool in a conversation, a tool of an agent that is a run, a step of a machine, a step of a flow. */
export type DoubtMode = 'session' | 'agent' | 'machine' | 'flow'

/** When the process kills itself. */
export const doubtMoments = [
  'before the intent',
  'after the intent',
  'during the effect',
  'before it has settled',
  'after it has settled',
] as const
export type DoubtMoment = (typeof doubtMoments)[number]

/** What the program is told. */
export interface DoubtAppOrder {
  readonly directory: string
  /** Where the outside world is. */
  readonly world: string
  readonly policy: DoubtPolicyName
  readonly mode: DoubtMode
  /** Without: it lives to its end. */
  readonly moment?: DoubtMoment | undefined
}

/** What the program says when it has come to its end. */
export interface DoubtAppReport {
  /** What whoever asked for the effect was told of it. */
  readonly told: string
  /** Steps by key: how they stand, how often they were started, what was done about doubt. */
  readonly steps: readonly (readonly [key: string, status: string, attempt: number, resolution: string | null])[]
  /** What was in doubt in this process, and what was done about it. */
  readonly doubts: readonly (readonly [kind: string, resolution: string])[]
  /** The questions that a person was asked. */
  readonly questions: readonly string[]
  /** Of a turn: the requests that were taken from the journal, and those that were paid in this process, or for all that is known in one that died. */
  readonly modelCalls?: { readonly reused: number; readonly paid: number } | undefined
}
