import fc from 'fast-check'
import { type AnyEventObject, type AnyStateMachine, assign, createMachine, enqueueActions, sendParent } from 'xstate'

/** Random machines: a description that fast-check can shrink, and the machine that it describes. */

type Act =
  | { readonly add: number; readonly to: number }
  | { readonly raise: string; readonly delayMs: number | undefined; readonly id: string | undefined }
  | { readonly cancel: string }
type Guard = { readonly counter: number; readonly modulo: number; readonly is: number } | undefined
interface Arrow {
  /** Which of all states; `undefined`: it stays. */
  readonly target: number | undefined
  readonly reenter: boolean
  readonly guard: Guard
  readonly acts: readonly Act[]
}
export interface Node {
  readonly kind: 'atomic' | 'compound' | 'parallel' | 'final' | 'shallow' | 'deep'
  readonly children: readonly Node[]
  readonly entry: readonly Act[]
  readonly exit: readonly Act[]
  readonly on: readonly { readonly event: string; readonly arrow: Arrow }[]
  readonly after: readonly { readonly delayMs: number; readonly arrow: Arrow }[]
  readonly always: readonly Arrow[]
  readonly hasKid: boolean
}

const events = ['A', 'B', 'C'] as const
export const event = fc.constantFrom(...events)
const delayMs = fc.integer({ min: 0, max: 40 })
const timerId = fc.constantFrom('t', 'u')
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ add: fc.integer({ min: 1, max: 3 }), to: fc.nat({ max: 1 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      raise: event,
      delayMs: fc.option(delayMs, { nil: undefined }),
      id: fc.option(timerId, { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ cancel: timerId }) },
)
const acts = fc.array(act, { maxLength: 2 })
const arrow: fc.Arbitrary<Arrow> = fc.record({
  target: fc.option(fc.nat({ max: 30 }), { nil: undefined, freq: 4 }),
  reenter: fc.boolean(),
  guard: fc.option(fc.record({ counter: fc.nat({ max: 1 }), modulo: fc.integer({ min: 2, max: 3 }), is: fc.nat({ max: 1 }) }), {
    nil: undefined,
    freq: 1,
  }),
  acts,
})
const { node } = fc.letrec<{ node: Node; leaf: Node; branch: Node }>((tie) => {
  const toNode = (kind: fc.Arbitrary<Node['kind']>, children: fc.Arbitrary<Node[]>): fc.Arbitrary<Node> =>
    fc.record({
      kind,
      children,
      entry: acts,
      exit: acts,
      on: fc.array(fc.record({ event, arrow }), { maxLength: 3 }),
      after: fc.array(fc.record({ delayMs, arrow }), { maxLength: 2 }),
      always: fc.array(arrow, { maxLength: 1, size: 'small' }),
      hasKid: fc.nat({ max: 5 }).map((chance) => chance === 0),
    })
  return {
    node: fc.oneof({ maxDepth: 2, withCrossShrink: true }, tie('leaf'), tie('branch')),
    leaf: toNode(fc.constantFrom('atomic', 'atomic', 'atomic', 'final', 'shallow', 'deep'), fc.constant([])),
    branch: toNode(fc.constantFrom('compound', 'compound', 'parallel'), fc.array(tie('node'), { minLength: 1, maxLength: 3 })),
  }
})
export const randomMachine: fc.Arbitrary<Node> = fc
  .tuple(node, fc.array(node, { minLength: 2, maxLength: 3 }))
  .map(([like, children]) => ({
    ...like,
    kind: like.kind === 'parallel' ? 'parallel' : 'compound',
    children,
  }))

interface Context {
  readonly counters: readonly [number, number]
  /** What would go on without an end may do so that often. */
  readonly fuel: number
  readonly log: readonly string[]
}

/** Ticks twice, tells its parent, and ends. */
const kid = createMachine({
  id: 'kid',
  types: {} as { context: { readonly ticks: number } },
  context: { ticks: 0 },
  initial: 'ticking',
  states: {
    ticking: {
      always: { guard: ({ context }) => context.ticks === 2, target: 'over' },
      after: {
        7: {
          target: 'ticking',
          reenter: true,
          actions: [assign({ ticks: ({ context }) => context.ticks + 1 }), sendParent({ type: 'A' })],
        },
      },
    },
    over: { type: 'final' },
  },
  output: ({ context }) => context.ticks,
})

const isHistory = ({ kind }: Node): boolean => kind === 'shallow' || kind === 'deep'

/** Something can be entered in whatever has children. */
function toEnterable(one: Node): Node {
  const [first, ...others] = one.children
  if (first === undefined) return one
  const entered = one.children.every(isHistory) ? [{ ...first, kind: 'atomic' as const }, ...others] : one.children // of the union
  return { ...one, children: entered.map(toEnterable) }
}

export function toMachine(random: Node): AnyStateMachine {
  const description = toEnterable(random)
  const ids = new Map<Node, string>()
  const name = (one: Node): void => {
    ids.set(one, `s${ids.size}`)
    one.children.forEach(name)
  }
  name(description)
  const targets = [...ids.values()].slice(1)

  const toActions = (label: string, list: readonly Act[]) =>
    enqueueActions<Context, AnyEventObject, undefined, AnyEventObject, never, never, never, never, never>(({ enqueue }) => {
      enqueue.assign(({ context }) => ({ log: [...(context as Context).log, label] }))
      for (const one of list)
        enqueue(
          enqueueActions(({ context, enqueue: next }) => {
            const { counters, fuel } = context as Context
            if ('add' in one) {
              const [x, y] = counters
              next.assign({ counters: one.to === 0 ? [x + one.add, y] : [x, y + one.add] })
            } else if ('cancel' in one) next.cancel(one.cancel)
            else if (fuel > 0) {
              next.assign({ fuel: fuel - 1 })
              const { delayMs, id } = one
              next.raise(
                { type: one.raise },
                { ...(delayMs === undefined ? {} : { delay: delayMs }), ...(id === undefined ? {} : { id }) },
              )
            }
          }),
        )
    })
  const toArrow = (label: string, { target, reenter, guard, acts: list }: Arrow, isFuelled = false): object => ({
    ...(target === undefined ? {} : { target: `#${targets[target % targets.length]}`, reenter }),
    guard: ({ context: { counters, fuel } }: { context: Context }) =>
      (!isFuelled || fuel > 0) && (guard === undefined || (counters[guard.counter] ?? 0) % guard.modulo === guard.is),
    actions: [...(isFuelled ? [assign({ fuel: ({ context }) => (context as Context).fuel - 1 })] : []), toActions(label, list)],
  })
  const toConfig = (one: Node): Record<string, unknown> => {
    const id = ids.get(one) ?? ''
    if (isHistory(one)) return { id, type: 'history', history: one.kind }
    const isFinal = one.kind === 'final'
    const onEvents: Record<string, object[]> = {}
    one.on.forEach((each, index) => {
      onEvents[each.event] = [...(onEvents[each.event] ?? []), toArrow(`${id} on ${index}`, each.arrow)]
    })
    const after: Record<string, object[]> = {}
    one.after.forEach((each, index) => {
      after[each.delayMs] = [...(after[each.delayMs] ?? []), toArrow(`${id} after ${index}`, each.arrow, true)]
    })
    const initial = one.children.find((child) => !isHistory(child))
    const states = Object.fromEntries(one.children.map((child) => [ids.get(child), toConfig(child)]))
    return {
      id,
      entry: toActions(`${id} entry`, one.entry),
      exit: toActions(`${id} exit`, one.exit),
      ...(isFinal
        ? { type: 'final' }
        : {
            on: onEvents,
            after,
            always: one.always.map((each) => toArrow(`${id} always`, each, true)),
            ...(one.hasKid ? { invoke: { src: 'kid', id: `kid-${id}`, onDone: { actions: toActions(`${id} kid`, []) } } } : {}),
            ...(initial === undefined
              ? {}
              : { states, ...(one.kind === 'parallel' ? { type: 'parallel' } : { initial: ids.get(initial) }) }),
          }),
    }
  }
  const config = { ...toConfig(description), id: 'random', context: { counters: [0, 0], fuel: 25, log: [] } }
  return createMachine(config as Parameters<typeof createMachine>[0]).provide({ actors: { kid } } as never)
}
