import type { z } from 'zod'
import { provideOutput } from '../actors/output-check.ts'
import type { AgentContext, AgentEvent, AgentInput, AgentMachine } from '../machines/agent.ts'
import type { RunLog } from '../persistence/run-log.ts'
import type { Agent } from './agent.ts'
import { type ActorRecord, createDurableActor, toLeaving } from './durable-actor.ts'
import { toCorrupt } from './recorded.ts'
import { toNotRunning } from './running-turns.ts'
import type { Services } from './services.ts'
import type { Spend } from './spend.ts'
import type { ResolvedDoubt } from './step-execution.ts'
import { watchTurns } from './turn.ts'

/** What the owner of an activation hears while a turn is executed. */
interface TurnHandlers {
  readonly checkpoint: string
  /** The form that the turn was asked to answer in. */
  readonly output: z.ZodType | undefined
  readonly onText: (delta: string) => void
  readonly onDoubt: (doubt: ResolvedDoubt) => void
  /** A call has settled, or an attempt at it was billed in vain. */
  readonly onSpend: (spend: Spend, children?: Spend, reused?: Spend) => void
  /** The turn has ended. What is recorded here is on disk together with the machine's new state (P5). */
  readonly onSettled: (context: AgentContext) => void
}

/** An agent's machine in memory, each of whose commits carries its state. */
export interface Activation {
  readonly agent: Agent<unknown>
  readonly context: AgentContext
  /** Sends `event`, if any, and resolves when the turn has ended. Errors: those of the store, and that of {@link Activation.stop}. */
  run(handlers: TurnHandlers, event: AgentEvent | undefined): Promise<void>
  /** Ends the turn as failed. */
  abort(): void
  /** Hands the machine an event while a turn is under way; on disk, with what it led to, when the promise resolves. Errors: `TURN_NOT_RUNNING`. */
  send(event: AgentEvent): Promise<void>
  /**
   * Ends what is in flight; the turn that waits fails with `error`. If `reason` is the store's (`isSuspension`) as a crash would, else as a cancellation, and what
   * it came to is recorded by the time the promise resolves.
   */
  stop(error: Error, reason: Error): Promise<void>
}

/** Where an agent starts from: what was recorded of it, or a conversation. */
export type AgentOrigin = { readonly record: ActorRecord } | { readonly input: AgentInput }

export function activate(services: Services, log: RunLog, agent: Agent<unknown>, origin: AgentOrigin): Activation {
  let turn: { readonly handlers: TurnHandlers; readonly ended: PromiseWithResolvers<void> } | undefined

  const breakOff = (error: unknown): void => {
    log.abandon()
    durable.stop(toLeaving(log.id))
    turn?.ended.reject(error)
  }
  const durable = createDurableActor<AgentMachine>(services, log, agent.machine, origin, {
    checkpoint: () => turn?.handlers.checkpoint ?? '',
    onText: (delta) => turn?.handlers.onText(delta),
    onDoubt: (doubt) => turn?.handlers.onDoubt(doubt),
    onSpend: (...spend) => turn?.handlers.onSpend(...spend),
    onBroken: breakOff,
  })
  const { actor } = durable
  const turns = watchTurns(actor, {
    settled(context) {
      turn?.handlers.onSettled(context)
      turn?.ended.resolve()
    },
    broken: breakOff,
  })

  return {
    agent,
    get context() {
      return actor.getSnapshot().context
    },
    async run(handlers, event) {
      const { status } = actor.getSnapshot()
      if (status !== 'active') throw toCorrupt(log.id, `its machine is ${status} and takes no more events`)
      const ended = Promise.withResolvers<void>()
      turn = { handlers, ended }
      provideOutput(actor.system, handlers.output)
      if (event === undefined) turns.arm()
      durable.start()
      const now = actor.getSnapshot()
      if (event === undefined && now.hasTag('settled')) {
        handlers.onSettled(now.context) // it had come to its end
        ended.resolve()
      }
      if (event !== undefined) {
        turns.arm()
        actor.send(event)
      }
      await ended.promise
    },
    abort() {
      actor.send({ type: 'abort' })
    },
    async send(event) {
      const { status, tags } = actor.getSnapshot()
      if (status !== 'active' || tags.has('settled')) throw toNotRunning(log.id, event.type)
      actor.send(event)
      await log.commit()
    },
    async stop(error, reason) {
      if (actor.getSnapshot().status === 'stopped') return
      durable.stop(reason)
      turn?.ended.reject(error)
      await durable.drain()
    },
  }
}
