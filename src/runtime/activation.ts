import type { AgentContext, AgentEvent, AgentInput, AgentMachine } from '../machines/agent.ts'
import type { RunLog } from '../persistence/run-log.ts'
import type { Agent } from './agent.ts'
import { type ActorRecord, createDurableActor } from './durable-actor.ts'
import { toCorrupt } from './recorded.ts'
import type { Services } from './services.ts'
import type { Spend } from './spend.ts'
import { watchTurns } from './turn.ts'

/** What the owner of an activation hears while a turn is executed. */
interface TurnHandlers {
  readonly checkpoint: string
  readonly onText: (delta: string) => void
  readonly onRepeat: (kind: string) => void
  /** A call has settled, or an attempt at it was billed in vain. */
  readonly onSpend: (spend: Spend) => void
  /** The turn has ended. What is recorded here is on disk together with the machine's new state (P5). */
  readonly onSettled: (context: AgentContext) => void
}

/** An agent's machine in memory, each of whose commits carries its state. */
export interface Activation {
  readonly agent: Agent
  readonly context: AgentContext
  /** Sends `event`, if any, and resolves when the turn has ended. Errors: those of the store, and that of {@link Activation.stop}. */
  run(handlers: TurnHandlers, event: AgentEvent | undefined): Promise<void>
  /** Ends the turn as failed. */
  abort(): void
  /** Ends what is in flight, as a crash would; the turn that waits fails with `error`. */
  stop(error: Error): void
}

/** Where an agent starts from: what was recorded of it, or a conversation. */
export type AgentOrigin = { readonly record: ActorRecord } | { readonly input: AgentInput }

export function activate(services: Services, log: RunLog, agent: Agent, origin: AgentOrigin): Activation {
  let turn: { readonly handlers: TurnHandlers; readonly ended: PromiseWithResolvers<void> } | undefined

  const breakOff = (error: unknown): void => {
    log.abandon()
    durable.stop()
    turn?.ended.reject(error)
  }
  const durable = createDurableActor<AgentMachine>(services, log, agent.machine, origin, {
    checkpoint: () => turn?.handlers.checkpoint ?? '',
    onText: (delta) => turn?.handlers.onText(delta),
    onRepeat: (kind) => turn?.handlers.onRepeat(kind),
    onSpend: (spend) => turn?.handlers.onSpend(spend),
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
      if (event === undefined) turns.arm()
      durable.start()
      if (event !== undefined) {
        turns.arm()
        actor.send(event)
      }
      await ended.promise
    },
    abort() {
      actor.send({ type: 'abort' })
    },
    stop(error) {
      if (actor.getSnapshot().status === 'stopped') return
      durable.stop()
      turn?.ended.reject(error)
    },
  }
}
