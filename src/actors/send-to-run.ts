import type { ActionArgs, AnyEventObject, EventObject, MachineContext, ParameterizedObject } from 'xstate'
import { findMessenger } from './step.ts'

/**
 * An action that sends an event to another run by its id. The event is on disk in the same commit as the transition that sent it, and is taken once, in
 * the order of sending. What is sent to a run that does not exist or has ended is dropped, as in XState; the runtime tells of it (`event.dropped`).
 * Without a runtime, in a plain `createActor`, it goes to the actor of the same system whose `systemId` that is.
 *
 * @example
 * ```ts
 * entry: sendToRun(({ context }) => context.customer, ({ context }) => ({ type: 'order.shipped', order: context.id }))
 * ```
 */
export function sendToRun<
  TContext extends MachineContext,
  TExpressionEvent extends EventObject,
  TEvent extends EventObject,
  TParams extends ParameterizedObject['params'] | undefined,
>(
  runId: string | ((args: ActionArgs<TContext, TExpressionEvent, TEvent>, params: TParams) => string),
  event: AnyEventObject | ((args: ActionArgs<TContext, TExpressionEvent, TEvent>, params: TParams) => AnyEventObject),
): (args: ActionArgs<TContext, TExpressionEvent, TEvent>, params: TParams) => void {
  return function sendToRun(args, params) {
    const id = typeof runId === 'function' ? runId(args, params) : runId
    const sent = typeof event === 'function' ? event(args, params) : event
    const send = findMessenger(args.system)
    if (send === undefined) args.system.get(id)?.send(sent)
    else send(id, sent)
  }
}
