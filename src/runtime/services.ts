import type { AsyncLocalStorage } from 'node:async_hooks'
import type { Committer } from '../persistence/commit.ts'
import type { Redact } from '../persistence/redaction.ts'
import type { Store } from '../persistence/store.ts'
import type { ChildAgents } from './child-agent.ts'
import type { Claims } from './claims.ts'
import type { Clock } from './clock.ts'
import type { Effects } from './effects.ts'
import type { EmittedEvent } from './events.ts'
import type { Inspection } from './inspection.ts'
import type { Questions } from './questions.ts'
import type { RunFiles } from './run-files.ts'
import type { RunningTurns } from './running-turns.ts'
import type { StreamHooks } from './stream-hooks.ts'
import type { TimerQueue } from './timer-queue.ts'

/** What the rooms of one open runtime share. */
export interface Services {
  readonly store: Store
  readonly committer: Committer
  /** What is written of the texts in payloads. */
  readonly redact?: Redact | undefined
  readonly effects: Effects
  /** What waits for a person. */
  readonly questions: Questions
  readonly turns: RunningTurns
  /** Those that work for calls of runs. */
  readonly agents: ChildAgents
  /** The steps that this process executes at the moment, as `<run>#<step>`. */
  readonly running: Set<string>
  /** What is heard of calls while they run. */
  readonly streams: StreamHooks
  /** Where the files of steps are; undefined when the store is not on disk. */
  readonly files: RunFiles | undefined
  readonly claims: Claims
  /** The conversations whose tool calls the current code is part of: none of them can be waited for. */
  readonly within: AsyncLocalStorage<readonly string[]>
  readonly clock: Clock
  /** The time in epoch milliseconds. */
  readonly now: () => number
  /** The deadlines of all runs in memory. */
  readonly timers: TimerQueue
  readonly inspection: Inspection
  /** A number above all that were given before, in this process and in earlier ones: the order of the messages between runs. */
  readonly nextMessage: () => string
  /** There are new messages on disk for these runs. */
  readonly onMessages: (runs: ReadonlySet<string>) => void
  readonly emit: (event: EmittedEvent) => void
  /** Aborts when the runtime closes: what is in flight then stays unfinished, as after a crash. */
  readonly closing: AbortSignal
}
