import { createActor, type Snapshot } from 'xstate'
import { provideSteps } from '../actors/step.ts'
import type { AgentContext, AgentEvent, AgentInput } from '../machines/agent.ts'
import type { RunLog } from '../persistence/run-log.ts'
import type { Agent } from './agent.ts'
import { readPersisted } from './persisted.ts'
import { toCorrupt } from './recorded.ts'
import type { Services } from './services.ts'
import type { Spend } from './spend.ts'
import { createStepHost } from './step-host.ts'
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

/** Where a machine starts from: its stored snapshot, or a conversation. */
export type Origin = { readonly snapshot: unknown } | { readonly input: AgentInput }

export function activate(services: Services, log: RunLog, agent: Agent, origin: Origin): Activation {
  const actor =
    'snapshot' in origin
      ? createActor(agent.machine, { snapshot: origin.snapshot as Snapshot<unknown> }) // written by `readPersisted`
      : createActor(agent.machine, { input: origin.input })
  let turn: { readonly handlers: TurnHandlers; readonly ended: PromiseWithResolvers<void> } | undefined

  const breakOff = (error: unknown): void => {
    log.abandon()
    actor.stop()
    turn?.ended.reject(error)
  }

  provideSteps(
    actor.system,
    createStepHost(services, log, {
      checkpoint: () => turn?.handlers.checkpoint ?? '',
      onText: (delta) => turn?.handlers.onText(delta),
      onRepeat: (kind) => turn?.handlers.onRepeat(kind),
      onSpend: (spend) => turn?.handlers.onSpend(spend),
      onBroken: breakOff,
    }),
  )
  const turns = watchTurns(actor, {
    settled(context) {
      turn?.handlers.onSettled(context)
      turn?.ended.resolve()
    },
    broken: breakOff,
  })
  log.follow(() => readPersisted(actor))

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
      actor.start()
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
      // What is still to be committed must show the run as it was, not its actors being stopped.
      const last = readPersisted(actor)
      log.follow(() => last)
      actor.stop()
      turn?.ended.reject(error)
    },
  }
}
