import type { AnyStateMachine, EventFromLogic, InputFrom, SnapshotFrom } from 'xstate'
import type { Run } from '../../runtime/run.ts'
import { createCoverage } from './coverage.ts'
import { describeStep, findPaths, type ModelPath } from './model-graph.ts'
import { type PathRoom, type PlayedPath, playPath } from './play-path.ts'
import { scriptActors } from './scripted-actors.ts'

/** What an invoked or spawned actor comes to, as an event of the graph. */
export type ActorOutcome =
  | { readonly type: `xstate.done.actor.${string}`; readonly output: unknown }
  | { readonly type: `xstate.error.actor.${string}`; readonly error: unknown }

/** How {@link testModel} goes about it. `events`, `filterEvents`, `stopWhen`, `serializeState`, `limit` and `input` are those of `xstate/graph`. */
export interface TestModelOptions<TMachine extends AnyStateMachine> {
  /** What the machine is started with. */
  readonly input?: InputFrom<TMachine> | undefined
  /**
   * The events to try in each state that takes events of their type: all that are listed of a type, one without anything else if none is. The outcomes of actors are
   * events too: `{ type: 'xstate.done.actor.payment', output }`, `{ type: 'xstate.error.actor.payment', error }`. Default: none are listed.
   */
  readonly events?:
    | readonly (EventFromLogic<TMachine> | ActorOutcome)[]
    | ((snapshot: SnapshotFrom<TMachine>) => readonly (EventFromLogic<TMachine> | ActorOutcome)[])
    | undefined
  /** Whether the event is tried in that state. What a machine sends to itself with a delay always is, except `after`, for which it is asked. Default: each is. */
  readonly filterEvents?:
    | ((snapshot: SnapshotFrom<TMachine>, event: EventFromLogic<TMachine> | ActorOutcome) => boolean)
    | undefined
  /** Whether paths end in that state. Default: only where a machine ends. */
  readonly stopWhen?: ((snapshot: SnapshotFrom<TMachine>) => boolean) | undefined
  /** States are alike for which it returns the same. Default: the state value and the context, as JSON. */
  readonly serializeState?: ((snapshot: SnapshotFrom<TMachine>) => string) | undefined
  /** How many steps the graph may have. Default: 10,000. */
  readonly limit?: number | undefined
  /** `shortest`: one path to each state. `simple`: all that go through no state twice. Steps that none of them takes get one each, in either case. Default: `shortest`. */
  readonly paths?: 'shortest' | 'simple' | undefined
  /**
   * What is asserted of the durable run in a state: by state path (`paid`, `open.waiting`), by `#id`, or by `*` for those without any. A function that throws or rejects
   * fails the path.
   */
  readonly states?:
    | Readonly<Record<string, (snapshot: SnapshotFrom<TMachine>, run: Run<TMachine>) => void | Promise<void>>>
    | undefined
  /** Whether the context must be the model's too. `false` where it holds times or random values. Default: true. */
  readonly context?: boolean | undefined
  /**
   * Whether the process dies at every edge, twice: once so that the first write which the event leads to is lost, and once so that it is on disk and nobody hears of it. The
   * sender sends the event again, under the same id, to the next process. Default: false.
   */
  readonly crash?: boolean | undefined
}

/** What was tested. */
export interface ModelReport {
  readonly paths: number
  /** How many events were sent, outcomes given and delays waited for. */
  readonly events: number
  readonly deaths: number
  /** How many of the machine's states and transitions the runs went through. */
  readonly states: number
  readonly transitions: number
  /** Those that they did not: states by id, then transitions as `order.open on PAY → order.paid`. */
  readonly uncovered: readonly string[]
}

/** One path through a machine. */
export interface TestModelPath {
  /** The events, such as `PAY { amount: 5 } → wait for xstate.after.1000.order.paid`. */
  readonly description: string
  /** Plays it on a durable run of its own. Rejects as {@link testModel} does. */
  test(): Promise<void>
}

/** A machine, and the paths through it. */
export interface TestModel {
  /** The short ones first; none is the beginning of another. */
  readonly paths: readonly TestModelPath[]
  /** Plays them all. */
  test(): Promise<ModelReport>
}

/**
 * Tests that durable runs of a machine come to what the machine says: finds paths through every state and every transition of its graph, with `xstate/graph`; plays each on a
 * run of a real runtime, whose store is in memory and whose clock is a test clock; and compares after each event the run's state value, context, output and error with what
 * XState's pure `transition` makes of the same events.
 *
 * - Events that the machine takes from outside are sent with `run.send`.
 * - Actors that it invokes or spawns by name are not executed: steps stand in for them, which come to what `events` lists for them. Where a state handles an outcome that is
 *   not listed, `output` is undefined, or `error` is an `Error`. What an actor sends to its parent is an event from outside.
 * - `after` and other delays: time passes until the next is due, so orders of events that no clock allows are not tried.
 *
 * Resolves with what was covered. Errors: an `Error` that shows the shortest failing path as a list of events, with the user's assertion as its `cause`; an `Error` for a graph
 * beyond `limit`; `TypeError`.
 *
 * @example
 * ```ts
 * const report = await testModel(order, {
 *   events: [
 *     { type: 'PAY', amount: 5 },
 *     { type: 'xstate.done.actor.charge', output: 'receipt-1' },
 *     { type: 'xstate.error.actor.charge', error: new Error('declined') },
 *   ],
 *   states: { paid: ({ context }) => assert.equal(context.receipt, 'receipt-1') },
 *   crash: true,
 * })
 * assert.deepEqual(report.uncovered, [])
 * ```
 */
export async function testModel<TMachine extends AnyStateMachine>(
  machine: TMachine,
  options: TestModelOptions<TMachine> = {},
): Promise<ModelReport> {
  return createTestModel(machine, options).test()
}

/**
 * The same, path by path: one test for each.
 *
 * @example
 * ```ts
 * for (const path of createTestModel(order, { crash: true }).paths) test(path.description, () => path.test())
 * ```
 */
export function createTestModel<TMachine extends AnyStateMachine>(
  machine: TMachine,
  options: TestModelOptions<TMachine> = {},
): TestModel {
  const { events = [], crash = false, context = true, limit = 10_000, paths: kind = 'shortest', input } = options
  if (kind !== 'shortest' && kind !== 'simple')
    throw new TypeError(`Expected \`paths\` to be 'shortest' or 'simple', got \`${String(kind)}\` (${typeof kind})`)
  if (!Number.isInteger(limit) || limit < 1)
    throw new TypeError(`Expected \`limit\` to be an integer ≥ 1, got \`${String(limit)}\` (${typeof limit})`)
  const actors = scriptActors(machine)
  // The functions of the options are for the snapshots and events of this machine.
  const found = findPaths(actors.machine, { ...options, input, events, limit, paths: kind } as Parameters<typeof findPaths>[1])
  const toRoom = (): PathRoom => ({
    input,
    actors,
    crash,
    context,
    coverage: createCoverage(actors.machine),
    states: (options.states ?? {}) as PathRoom['states'], // see above
  })
  return {
    paths: found.map((path) => ({
      description: path.steps.map(describeStep).join(' → ') || 'no event',
      async test() {
        const played = await playPath(path, Infinity, toRoom())
        if (played.failure !== undefined) throw toFailure(machine, path, played.failure, crash)
      },
    })),
    async test() {
      const room = toRoom()
      const counts = { events: 0, deaths: 0 }
      let shortest: { readonly path: ModelPath; readonly failure: NonNullable<PlayedPath['failure']> } | undefined
      for (const path of found) {
        const upTo = shortest === undefined ? Infinity : shortest.failure.step - 1
        if (upTo < 0) break
        const { events: taken, deaths, failure } = await playPath(path, upTo, room)
        counts.events += taken
        counts.deaths += deaths
        if (failure !== undefined) shortest = { path, failure }
      }
      if (shortest !== undefined) throw toFailure(machine, shortest.path, shortest.failure, crash)
      const { states, transitions, uncovered } = room.coverage
      return { paths: found.length, ...counts, states, transitions, uncovered }
    },
  }
}

function toFailure(
  machine: AnyStateMachine,
  { steps }: ModelPath,
  { step, problem, cause }: NonNullable<PlayedPath['failure']>,
  crash: boolean,
): Error {
  const list = steps.slice(0, step).map((one, index) => `\n  ${index + 1}. ${describeStep(one)}`)
  const after = step === 0 ? 'when it is started' : `after ${step === 1 ? 'this event' : `these ${step} events`}`
  const deaths = crash ? ', each of them cut off by two deaths' : ''
  const error = new Error(
    `A durable run of \`${machine.id}\` is not as its model ${after}${deaths}:${list.join('')}\n${problem}`,
    { cause },
  )
  return error
}
