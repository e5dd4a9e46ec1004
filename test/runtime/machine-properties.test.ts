/**
 * P1, P5, P8 by property: random machines, random scripts, and a process that ends at random: closed, dead at a write, or with a write that fails. The run comes to
 * where plain XState comes to by the same clock. Would catch: any state that is not restored as it was, an event or timer that is lost or taken twice, timers in
 * another order, and a snapshot that does not agree with its timers.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isPerdureError, type Run, type Runtime } from 'perdure'
import {
  type AnyActorRef,
  type AnyMachineSnapshot,
  type AnyStateMachine,
  assign,
  cancel,
  createActor,
  createMachine,
  raise,
} from 'xstate'
import { createReporter } from '../../src/observe/reporter.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { Store } from '../../src/persistence/store.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { createRuntime } from '../../src/runtime/runtime.ts'
import { type NormalSnapshot, toNormalSnapshot } from '../support/conformance/normal-snapshot.ts'
import { event, randomMachine, toMachine } from '../support/machine-app-random.ts'

const drain = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

// A clock that moves by hand, also over a time in which nobody is there; what a process had set dies with it.

interface Hand extends Clock {
  /** Moves on through all that is due, each at its own time. */
  advanceTo(time: number, settle: () => Promise<void>): Promise<void>
  /** Moves on at once: what came due meanwhile is overdue. */
  jump(ms: number): void
  /** All that is set goes. */
  clear(): void
}

function createHand(): Hand {
  const timers = new Set<{ readonly fn: () => void; readonly dueAt: number }>()
  let now = 1_000_000
  return {
    now: () => now,
    setTimeout(fn, ms) {
      const timer = { fn, dueAt: now + Math.max(0, ms) }
      timers.add(timer)
      return timer
    },
    clearTimeout: (handle) => void timers.delete(handle as never), // what `setTimeout` above gave
    async advanceTo(time, settle) {
      for (;;) {
        const due = [...timers].filter(({ dueAt }) => dueAt <= time)
        const [first] = due.toSorted((one, other) => one.dueAt - other.dueAt) // stable: of equals, the one that was set first
        if (first === undefined) break
        timers.delete(first)
        now = Math.max(now, first.dueAt)
        first.fn()
        await settle()
      }
      now = Math.max(now, time)
    },
    jump(ms) {
      now += ms
    },
    clear: () => timers.clear(),
  }
}

// What happens to it.

type Step =
  | { readonly send: string }
  | { readonly advanceMs: number }
  /** Nobody is there for so long. */
  | { readonly downMs: number; readonly how: 'closed' | 'dead' }
/** What happens at the `at`-th write of a process: it dies before it, or when it is on disk and nobody has heard; or the write fails, in vain or not. */
interface Fault {
  readonly at: number
  readonly kind: 'dead before' | 'dead after' | 'failed' | 'failed after'
}

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ send: event }) },
  { weight: 4, arbitrary: fc.record({ advanceMs: fc.integer({ min: 0, max: 60 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ downMs: fc.integer({ min: 0, max: 60 }), how: fc.constantFrom('closed' as const, 'dead' as const) }),
  },
)
const fault: fc.Arbitrary<Fault> = fc.record({
  at: fc.integer({ min: 1, max: 6 }),
  kind: fc.constantFrom('dead before' as const, 'dead after' as const, 'failed' as const, 'failed after' as const),
})

/** What is the same however it came about: the order in which remembered states stand is not. */
function toComparable(snapshot: AnyMachineSnapshot): NormalSnapshot {
  const history = Object.entries(snapshot.historyValue).map(([id, nodes]) => [id, nodes.map((node) => node.id).sort()])
  return { ...toNormalSnapshot(snapshot), history: Object.fromEntries(history) }
}

/** XState came to something that no snapshot of its own shows, so that nobody can keep it. */
class Strange extends Error {}

/** The states that XState takes for active are those that its value names. With targets that are histories it may lose one, or have two of a kind. */
function isConsistent({ machine, value, context, _nodes }: AnyMachineSnapshot): boolean {
  const named = machine.resolveState({ value, context })._nodes
  return named.length === _nodes.length && named.every((node) => _nodes.includes(node))
}

/** Where XState alone comes to; `undefined` when that is {@link Strange}. */
async function runPlain(machine: AnyStateMachine, script: readonly Step[]): Promise<NormalSnapshot | undefined> {
  const clock = createHand()
  let isStrange = false
  const actor = createActor(machine, { clock })
  actor.system.inspect(({ type, actorRef, ...event }) => {
    if (actorRef !== actor) return
    if (type === '@xstate.snapshot') isStrange ||= !isConsistent(actor.getSnapshot())
    const source = 'sourceRef' in event ? (event.sourceRef as AnyActorRef | undefined) : undefined // what sends is an actor
    // A child that was stopped before it had started, or replaced without being stopped, and runs on.
    if (source?.id.startsWith('kid-')) isStrange ||= actor.getSnapshot().children[source.id] !== source
  })
  actor.subscribe({ error: () => {} }) // it is in the snapshot
  const settle = async (): Promise<void> => {
    await drain()
    if (isStrange) throw new Strange()
  }
  try {
    actor.start()
    await clock.advanceTo(clock.now(), settle)
    for (const one of script) {
      if ('send' in one) actor.send({ type: one.send })
      else if ('advanceMs' in one) await clock.advanceTo(clock.now() + one.advanceMs, settle)
      else clock.jump(one.downMs)
      await settle()
      await clock.advanceTo(clock.now(), settle)
    }
    return isConsistent(actor.getSnapshot()) ? toComparable(actor.getSnapshot()) : undefined
  } catch (error) {
    if (error instanceof Strange) return undefined
    throw error
  }
}

/** A process over a medium that outlives it. */
interface Life {
  readonly runtime: Runtime
  readonly run: Run
  readonly store: FaultyStore
}
interface FaultyStore extends Store {
  /** Rejects when the process dies. */
  readonly death: Promise<never>
  readonly isFaulty: boolean
}

class Death extends Error {}

function toFaultyStore(medium: Store, epoch: number, at: Fault | undefined): FaultyStore {
  const death = Promise.withResolvers<never>()
  death.promise.catch(() => {})
  const forever = new Promise<never>(() => {})
  let writes = 0
  let state: 'well' | 'failed' | 'dead' = 'well'
  const unlessDead = async <T>(answer: Promise<T>): Promise<T> => {
    const value = await answer
    return state === 'dead' ? forever : value
  }
  return {
    location: 'medium',
    epoch,
    death: death.promise,
    get isFaulty() {
      return state !== 'well'
    },
    get: (key) => unlessDead(medium.get(key)),
    getMany: (keys) => unlessDead(medium.getMany(keys)),
    async *entries(range) {
      for await (const entry of medium.entries(range)) yield await unlessDead(Promise.resolve(entry))
    },
    async write(operations, options) {
      if (state === 'dead') return forever
      if (state === 'failed') throw new Error('it has failed before')
      writes++
      if (writes !== at?.at) return medium.write(operations, options)
      const isDead = at.kind === 'dead before' || at.kind === 'dead after'
      state = isDead ? 'dead' : 'failed'
      if (at.kind === 'dead after' || at.kind === 'failed after') await medium.write(operations, options)
      if (!isDead) throw new Error('the write fails')
      setImmediate(() => death.reject(new Death()))
      return forever
    },
    compact: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
}

/** Puts a runtime together as `openRuntime` does. */
function toRuntime(store: Store, clock: Clock, machine: AnyStateMachine, afterMs: number): Runtime {
  return createRuntime({
    store,
    durability: 'process',
    clock,
    machines: [machine],
    autoResume: true,
    resumeConcurrency: 4,
    idle: { afterMs, maxIdle: 10 },
    retention: undefined,
    inspect: undefined,
    onEvent: undefined,
    reporter: createReporter({ format: 'silent', now: clock.now }),
  })
}

async function runDurable(
  toFresh: () => AnyStateMachine,
  script: readonly Step[],
  faults: readonly Fault[],
  afterMs: number,
): Promise<NormalSnapshot> {
  const clock = createHand()
  const medium = await openMemoryStore()
  let lives = 0
  const open = (): Life => {
    const store = toFaultyStore(medium, lives + 1, faults[lives])
    lives++
    const runtime = toRuntime(store, clock, toFresh(), afterMs)
    return { runtime, run: runtime.get('run'), store }
  }
  let life = open()
  const end = async (how: 'closed' | 'dead'): Promise<void> => {
    if (how === 'closed') await Promise.race([life.runtime.close(), life.store.death]).catch(() => {})
    clock.clear()
  }
  const settle = async (): Promise<void> => {
    const { runtime, run, store } = life
    const rest = async (): Promise<void> => {
      await drain()
      await runtime.resume()
      await drain()
      await run.snapshot()
      await drain()
    }
    await Promise.race([rest(), store.death])
    if (store.isFaulty) throw new Death() // what is overdue would be tried again and again
  }
  const settleNow = async (): Promise<void> => {
    await settle()
    await clock.advanceTo(clock.now(), settle)
  }
  /** Does it; if the process fails over it, does it again in the next. */
  const survive = async (work: () => Promise<unknown>): Promise<void> => {
    for (;;) {
      try {
        if (!life.store.isFaulty) {
          await Promise.race([work(), life.store.death])
          await settleNow()
          if (!life.store.isFaulty) return
        }
      } catch (error) {
        if (!life.store.isFaulty) throw error
      }
      await end(life.store.isFaulty && lives % 2 === 0 ? 'closed' : 'dead')
      life = open()
      // What is overdue is done before somebody comes.
      await Promise.race([settleNow(), life.store.death]).catch((error: unknown) => {
        if (!life.store.isFaulty && !isPerdureError(error, 'RUN_NOT_FOUND')) throw error
      })
    }
  }
  await survive(() => life.runtime.start('random', { id: 'run' }))
  for (const [index, one] of script.entries()) {
    if ('send' in one)
      await survive(() =>
        life.run.send({ type: one.send }, { id: `event-${index}` }).catch((error: unknown) => {
          if (!isPerdureError(error, 'RUN_ENDED')) throw error
        }),
      )
    else if ('advanceMs' in one) {
      const until = clock.now() + one.advanceMs
      await survive(() => clock.advanceTo(until, settle))
    } else {
      await end(one.how)
      clock.jump(one.downMs)
      life = open()
      await survive(async () => {})
    }
  }
  let final: NormalSnapshot | undefined
  await survive(async () => {
    final = toComparable(await life.run.snapshot())
  })
  await end('closed')
  assert.ok(final)
  return final
}

test('delayed events of one id are those of plain XState: the last that was set can be cancelled, until one of them fires', async () => {
  const toFresh = (): AnyStateMachine =>
    createMachine({
      id: 'random',
      types: {} as { context: { readonly fired: number } },
      context: { fired: 0 },
      on: {
        A: { actions: raise({ type: 'fire' }, { delay: 10, id: 't' }) },
        B: { actions: cancel('t') },
        fire: { actions: assign({ fired: ({ context }) => context.fired + 1 }) },
      },
    })
  const set: Step = { send: 'A' }
  const stop: Step = { send: 'B' }
  const wait: Step = { advanceMs: 5 }
  const down: Step = { downMs: 5, how: 'closed' }
  for (const [fired, script] of [
    [1, [set, set, stop, stop, wait, wait]],
    [1, [set, set, stop, down, stop, wait, wait]],
    [2, [set, wait, set, wait, stop, wait, wait]],
    [2, [set, down, set, down, stop, wait, wait]],
    [1, [set, wait, set, stop, set, wait, stop, stop]],
  ] as const) {
    const plain = await runPlain(toFresh(), script)
    assert.deepEqual(plain?.context, { fired })
    assert.deepEqual(await runDurable(toFresh, script, [], 30_000), plain)
  }
})

test('a run that is asked for after a write has failed says so, and does not try for ever', async () => {
  const medium = await openMemoryStore()
  const machine = createMachine({ id: 'random', on: { A: { actions: () => {} } } })
  const clock = createHand()
  const first = toRuntime(toFaultyStore(medium, 1, undefined), clock, machine, 30_000)
  for (const id of ['x', 'y']) await first.start('random', { id })
  await first.close()
  const second = toRuntime(toFaultyStore(medium, 2, { at: 1, kind: 'failed' }), clock, machine, 30_000)
  await assert.rejects(second.start('random', { id: 'z' }))
  for (const id of ['x', 'y'])
    await assert.rejects(second.get(id).send({ type: 'A' }, { id: 'a' }), { code: 'STORE_WRITE_FAILED' })
  await second.close()
})

test('a random machine comes to where plain XState comes to, however often its process ends', async () => {
  await fc.assert(
    fc.asyncProperty(
      randomMachine,
      fc.array(step, { maxLength: 8 }),
      fc.array(fault, { maxLength: 3 }),
      fc.constantFrom(10, 30_000),
      async (description, script, faults, afterMs) => {
        const plain = await runPlain(toMachine(description), script)
        fc.pre(plain !== undefined)
        const durable = await runDurable(() => toMachine(description), script, faults, afterMs)
        assert.deepEqual(durable, plain)
      },
    ),
    { numRuns: 500, interruptAfterTimeLimit: 12_000 },
  )
})
