import type { AnyStateMachine, AnyStateNode, AnyTransitionDefinition } from 'xstate'
import { toImplementationName } from '../runtime/machine-description.ts'

/** A machine's configuration as plain data: what `createMachine` takes, and Stately Studio. */
export type StudioJson = Readonly<Record<string, unknown>>

/**
 * An XState machine as JSON for Stately Studio: its configuration with names in place of functions. `createMachine` makes the same machine of it, without what its actions, guards and actors do;
 * what was written on the spot is called `inline`. The context is left out where a function makes it.
 *
 * @example
 * ```ts
 * await writeFile('order.json', JSON.stringify(toStudioJson(machine), null, 2))
 * ```
 */
export function toStudioJson(machine: AnyStateMachine): StudioJson {
  const { context } = machine.config
  const { version } = machine
  const isData = typeof context === 'object'
  return compact({
    id: machine.id,
    version,
    context: isData ? toData(context) : undefined,
    ...toState(machine.root),
    key: undefined,
  })
}

function toState(node: AnyStateNode): Record<string, unknown> {
  const { type, history, description, tags, meta, config } = node
  const lists = new Map<string, object[]>()
  for (const [event, transitions] of node.transitions) lists.set(event, transitions.map(toTransition))
  /** Those of an event that has a place of its own. */
  const take = (event: string): readonly object[] | undefined => {
    const list = lists.get(event)
    lists.delete(event)
    return list
  }
  const invoke = node.invoke.map(({ id, src, systemId }) =>
    compact({
      id,
      src: typeof src === 'string' && !src.startsWith('xstate.invoke') ? src : 'inline',
      systemId,
      onDone: take(`xstate.done.actor.${id}`),
      onError: take(`xstate.error.actor.${id}`),
    }),
  )
  const onDone = take(`xstate.done.state.${node.id}`)
  const delayed = [...lists.keys()].filter((event) => event.startsWith(AFTER))
  const after = delayed.map((event) => [event.slice(AFTER.length, -node.id.length - 1), take(event)])
  return compact({
    type: type === 'atomic' || type === 'compound' ? undefined : type,
    history: type === 'history' ? history || 'shallow' : undefined,
    target: type === 'history' ? config.target : undefined,
    initial: type === 'compound' ? node.initial.target?.[0]?.key : undefined,
    description,
    tags: tags.length === 0 ? undefined : tags,
    meta: toData(meta),
    entry: toActions([config.entry ?? []].flat()),
    exit: toActions([config.exit ?? []].flat()),
    invoke: toList(invoke),
    on: toRecord(Object.fromEntries(lists)),
    after: toRecord(Object.fromEntries(after)),
    always: toList((node.always ?? []).map(toTransition)),
    onDone,
    states: toRecord(Object.fromEntries(Object.entries(node.states).map(([key, child]) => [key, toState(child)]))),
  })
}

const AFTER = 'xstate.after.'

function toTransition({ target, guard, actions, reenter, description, meta }: AnyTransitionDefinition): object {
  return compact({
    target: target?.map(({ id }) => `#${id}`),
    guard: guard === undefined ? undefined : toImplementationName(guard),
    actions: toActions(actions),
    reenter: reenter ? true : undefined,
    description,
    meta: toData(meta),
  })
}

const toActions = (actions: readonly unknown[]): readonly string[] | undefined => toList(actions.map(toImplementationName))
const toList = <T>(list: readonly T[]): readonly T[] | undefined => (list.length === 0 ? undefined : list)
const toRecord = (record: object): object | undefined => (Object.keys(record).length === 0 ? undefined : record)

/** What JSON has no word for, as near as it comes. */
const toData = (value: unknown): unknown =>
  value === undefined
    ? undefined
    : JSON.parse(
        JSON.stringify(value, (_, part: unknown) => {
          if (typeof part === 'bigint') return part.toString()
          return part instanceof Map || part instanceof Set ? [...part] : part
        }),
      )

const compact = (object: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
