import type { AnyActorLogic, AnyStateMachine, EventObject, StateNode } from 'xstate'
import { fromStep } from '../../actors/from-step.ts'

/** The actors that a machine invokes and spawns by name, which wait until they are told what they come to. */
export interface ScriptedActors {
  /** The machine with these actors in the place of its own. */
  readonly machine: AnyStateMachine
  /**
   * Lets the actor of that run come to its outcome: `xstate.done.actor.<id>` or `xstate.error.actor.<id>`. Returns what is the same over restarts and differs from the next that has
   * its id; with `key`, only that one is meant. `undefined`: it is not under way.
   */
  settle(run: string, actor: string, outcome: EventObject, key: string | undefined): string | undefined
  /** The run's process is gone, and what it executed with it. */
  forget(run: string): void
}

export function scriptActors(machine: AnyStateMachine): ScriptedActors {
  const executing = new Map<string, PromiseWithResolvers<unknown> & { readonly key: string }>()
  const scripted = fromStep(async ({ key, signal }) => {
    const name = key.replace(/#\d+$/, '') // `<run>#<actor>#<count>`
    const execution = { ...Promise.withResolvers<unknown>(), key }
    executing.set(name, execution)
    signal.addEventListener('abort', () => {
      if (executing.get(name) === execution) executing.delete(name)
      execution.reject(signal.reason)
    })
    return execution.promise
  })
  const names = new Set([...Object.keys(machine.implementations.actors), ...invokedBy(machine.root)])
  return {
    machine: machine.provide({ actors: Object.fromEntries([...names].map((name) => [name, scripted as AnyActorLogic])) }),
    settle(run, actor, outcome, key) {
      const name = `${run}#${actor}`
      const execution = executing.get(name)
      if (execution === undefined || (key !== undefined && execution.key !== key)) return undefined
      executing.delete(name)
      const { output, error } = outcome as { readonly output?: unknown; readonly error?: unknown } // see the types of events
      if (outcome.type.startsWith('xstate.error.')) execution.reject(error)
      else execution.resolve(output)
      return execution.key
    },
    forget(run) {
      for (const name of executing.keys()) if (name.startsWith(`${run}#`)) executing.delete(name)
    },
  }
}

function invokedBy(node: Pick<StateNode, 'invoke' | 'states'>): readonly string[] {
  const own = node.invoke.map(({ src }) => src).filter((src): src is string => typeof src === 'string')
  const named = own.filter((src) => !src.startsWith('xstate.invoke.')) // the name that XState gives to a logic without one
  return [...named, ...Object.values(node.states).flatMap(invokedBy)]
}
