import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type AnyStateMachine, createMachine, fromPromise } from 'xstate'
import { isPerdureError, type PerdureErrorCode } from '../../src/errors.ts'
import {
  createMachineRegistry,
  type MachineEntry,
  type MachineRegistry,
  type Migrate,
  type PersistedSnapshot,
  planActivation,
} from '../../src/runtime/machine-registry.ts'
import { toStructure } from '../../src/runtime/machine-structure.ts'
import { type LeftState, leave } from '../support/stored-state.ts'

type Config = Record<string, unknown>

const make = (version: string | undefined, states: Config, rest: Config = {}): AnyStateMachine =>
  createMachine({
    id: 'order',
    initial: Object.keys(states)[0],
    context: { total: 1, at: new Date(5), seen: new Map([['a', 1]]) },
    states,
    ...(version === undefined ? {} : { version }),
    ...rest,
  } as Parameters<typeof createMachine>[0])
const v1 = make('1', { a: { after: { 5: 'b' } }, b: {} })
const v2 = make('2', { a2: {}, b2: { after: { 9: 'a2' } } })
const v3 = make('3', { a3: {} })
const other = createMachine({ id: 'other' })

const failsWith =
  (code: PerdureErrorCode, words: RegExp = /./) =>
  (error: unknown): boolean => {
    assert.ok(isPerdureError(error, code), String(error))
    assert.match(error.message, words)
    return true
  }

describe('a registry of machines', () => {
  it('finds the registered object, and the newest version by id', () => {
    const registry = createMachineRegistry([v1, { machine: v2 }, other])
    assert.equal(registry.find(v1).machine, v1)
    assert.deepEqual(registry.find(v2).version, { declared: '2', structure: toStructure(v2) })
    assert.equal(registry.find('order').machine, v2)
    assert.deepEqual(registry.find('other').version, { structure: toStructure(other) })
  })

  it('refuses what is not registered, also another object of a registered id', () => {
    const registry = createMachineRegistry([v1])
    assert.throws(() => registry.find(other), failsWith('MACHINE_UNKNOWN', /`other` is not registered\. Add it to `machines`/))
    assert.throws(() => registry.find('other'), failsWith('MACHINE_UNKNOWN', /`other`/))
    assert.throws(() => registry.find(v1.provide({})), failsWith('MACHINE_UNKNOWN', /another machine of that id: `provide`/))
    assert.throws(() => registry.find(5 as unknown as string), TypeError)
    assert.throws(() => createMachineRegistry([]).find('toString'), failsWith('MACHINE_UNKNOWN'))
  })

  it('refuses two machines of one id and version', () => {
    assert.throws(() => createMachineRegistry([v1, v1]), failsWith('MACHINE_DUPLICATE', /`order` of version `1`/))
    assert.throws(() => createMachineRegistry([v1, { machine: v1 }]), failsWith('MACHINE_DUPLICATE'))
    assert.throws(() => createMachineRegistry([v1, make('1', { x: {} })]), failsWith('MACHINE_DUPLICATE'))
    assert.throws(
      () => createMachineRegistry([other, createMachine({ id: 'other' })]),
      failsWith('MACHINE_DUPLICATE', /without a/),
    )
    createMachineRegistry([make(undefined, { x: {} }), v1])
  })

  it('refuses what is no machine and no migration', () => {
    const bad: readonly (readonly [entries: unknown, RegExp])[] = [
      [undefined, /`machines` to be an array/],
      [v1, /`machines` to be an array/],
      [[v1, undefined], /`machines\[1\]`.*`undefined`/],
      [['order'], /`machines\[0\]`.*`order` \(string\)/],
      [[{ migrate: () => {} }], /`machines\[0\]`/],
      [[fromPromise(async () => {})], /`machines\[0\]`/],
      [[{ machine: v1.config }], /`machines\[0\]`/],
      [[{ machine: v1, migrate: 5 }], /`migrate` of machine `order`.*got `5`/],
      [[{ machine: v1, migrate: async () => {} }], /synchronous function, got an async one/],
      [[createMachine({ id: 'x', version: 2 as unknown as string })], /`version` of machine `x` to be a string, got `2`/],
    ]
    for (const [entries, message] of bad)
      assert.throws(
        () => createMachineRegistry(entries as MachineEntry[]),
        (error) => error instanceof TypeError && message.test(error.message),
        String(message),
      )
  })

  const structure = toStructure(v1)
  const nameless = make(undefined, { a: { after: { 5: 'b' } }, b: {} }) // of the structure of v1
  for (const [what, entries, declared, stored, kind, machine] of [
    ['its declared version', [v1, v2, v3], '2', toStructure(v2), 'same', v2],
    ['its declared version, even if its structure changed', [v1, v2, v3], '2', structure, 'changed', v2],
    ['one of the same structure', [v1, v3], '0', structure, 'changed', v1],
    ['the newest of the same structure', [nameless, v1, v3], '0', structure, 'changed', v1],
    ['the newest', [v1, v2, v3], '0', 'unknown', 'changed', v3],
    ['its own, when no version was declared', [nameless], undefined, structure, 'same', nameless],
    [
      'the one that declares a version now, beside a new one that does not',
      [make(undefined, { x: {} }), v1],
      undefined,
      structure,
      'changed',
      v1,
    ],
    ['one that declares a version now', [v1, v3], undefined, structure, 'changed', v1],
  ] as const) {
    it(`gives a run ${what}`, () => {
      const resolution = createMachineRegistry(entries).resolve('order', { declared, structure: stored })
      assert.ok(resolution.kind !== 'unknown')
      assert.equal(resolution.kind, kind)
      assert.equal(resolution.entry.machine, machine)
    })
  }

  it('knows no machine of another id', () => {
    assert.deepEqual(createMachineRegistry([v1]).resolve('other', { structure }), { kind: 'unknown' })
  })
})

const left = leave(v1)
const plan = (registry: MachineRegistry, { actor, timers }: LeftState = left, name = 'order', from = v1) =>
  planActivation(registry, {
    run: 'run 1',
    name,
    version: { declared: from.version, structure: toStructure(from) },
    snapshot: actor,
    timers,
  })
const migrating = (migrate: unknown, machine = v2): MachineRegistry =>
  createMachineRegistry([{ machine, migrate: migrate as Migrate }])
const toB2 = (snapshot: PersistedSnapshot): PersistedSnapshot => ({ ...snapshot, value: 'b2' })

describe('a plan for a stored run', () => {
  it('is to continue on the machine that recorded it, without `migrate`', () => {
    const machine = v1
    const registry = createMachineRegistry([{ machine, migrate: () => assert.fail('asked') }, v2])
    assert.deepEqual(plan(registry), { kind: 'continue', machine, version: { declared: '1', structure: toStructure(v1) } })
  })

  it('is to continue on another version that has everything', () => {
    const machine = make('2', { a: { after: { 5: 'c' } }, c: {} })
    assert.deepEqual(plan(createMachineRegistry([machine])), {
      kind: 'continue',
      machine,
      version: { declared: '2', structure: toStructure(machine) },
    })
  })

  it('is to park it with what is missing', () => {
    assert.deepEqual(plan(createMachineRegistry([v2])), {
      kind: 'park',
      missing: ['state `order.a`', 'timer `xstate.after.5.order.a`'],
    })
    const forgotten = make('1', { a: { after: { 6: 'b' } }, b: {} })
    assert.deepEqual(plan(createMachineRegistry([forgotten])), { kind: 'park', missing: ['timer `xstate.after.5.order.a`'] })
  })

  it('is unknown without a machine of its id', () => {
    const result = plan(createMachineRegistry([other]))
    assert.equal(result.kind, 'unknown')
    assert.ok(result.kind === 'unknown' && failsWith('MACHINE_UNKNOWN', /run `run 1` needs the machine `order`/)(result.error))
  })
})

describe('a migration', () => {
  it('is given the snapshot with its timers and the version that it is of', () => {
    let given: unknown[] = []
    plan(
      migrating((...args: unknown[]) => {
        given = args
        return args[0]
      }),
    )
    assert.deepEqual(given, [
      { ...left.actor, timers: left.timers },
      { version: '1', structure: toStructure(v1) },
    ])
  })

  it('gives what the run goes on with; the `after` of the state that it left is gone', () => {
    const result = plan(migrating(toB2))
    assert.deepEqual(result, {
      kind: 'migrate',
      machine: v2,
      version: { declared: '2', structure: toStructure(v2) },
      snapshot: { ...left.actor, value: 'b2' },
      timers: [],
    })
  })

  it('is also asked when only the declared version is another', () => {
    const same = make('1b', { a: { after: { 5: 'b' } }, b: {} })
    const result = plan(migrating((snapshot: PersistedSnapshot) => ({ ...snapshot, context: { total: '1' } }), same))
    assert.deepEqual(result.kind === 'migrate' && result.snapshot, { ...left.actor, context: { total: '1' } })
    assert.deepEqual(result.kind === 'migrate' && result.timers, left.timers)
  })

  it('may set and change timers', () => {
    const timer = { id: 'xstate.after.9.order.b2', source: [], target: [], event: { type: 'xstate.after.9.order.b2' }, dueAt: 77 }
    const result = plan(migrating((snapshot: PersistedSnapshot) => ({ ...toB2(snapshot), timers: [timer] })))
    assert.deepEqual(result.kind === 'migrate' && result.timers, [timer])
    const slower = make('2', { a: { after: { 6: 'b' } }, b: {} })
    const unchanged = plan(migrating((snapshot: PersistedSnapshot) => snapshot, slower))
    assert.equal(unchanged.kind, 'failed')
    const adapt = ({ timers, ...snapshot }: PersistedSnapshot) => ({
      ...snapshot,
      timers: timers.map((each) => {
        const id = each.id.replace('.5.', '.6.')
        return { ...each, id, event: { type: id }, dueAt: each.dueAt + 1 }
      }),
    })
    const adapted = plan(migrating(adapt, slower))
    assert.deepEqual(adapted.kind === 'migrate' && adapted.timers.map(({ id, dueAt }) => [id, dueAt]), [
      ['xstate.after.6.order.a', 6],
    ])
  })

  it('may change what it is given: what is stored stays as it is', () => {
    const before = structuredClone(left)
    const result = plan(
      migrating((snapshot: PersistedSnapshot) => {
        const { seen, at } = snapshot.context as { seen: Map<string, number>; at: Date }
        seen.set('b', 2)
        at.setTime(9)
        snapshot.context.total = 'broken'
        snapshot.value = 'b2'
        return snapshot
      }),
    )
    assert.equal(result.kind, 'migrate')
    assert.deepEqual(left, before)
  })

  it('gives a copy: what is done later to what it returned does nothing', () => {
    let kept: PersistedSnapshot | undefined
    const result = plan(
      migrating((snapshot: PersistedSnapshot) => {
        kept = toB2(snapshot)
        return kept
      }),
    )
    assert.ok(kept !== undefined && result.kind === 'migrate')
    kept.context.total = 'later'
    assert.deepEqual(result.snapshot, { ...left.actor, value: 'b2' })
  })

  for (const [what, migrate, message] of [
    ['throws', () => assert.fail('boom'), /`migrate` threw: boom/],
    ['returns nothing', () => {}, /returned `undefined`/],
    ['returns a text', () => 'b2', /returned `b2` \(string\)/],
    [
      'returns a promise',
      (snapshot: PersistedSnapshot) => Promise.resolve(snapshot),
      /returned a promise\. It must be synchronous/,
    ],
    ['returns a promise that fails', () => Promise.reject(new Error('x')), /returned a promise/],
    ['returns another object', () => ({}), /Missing: a snapshot that machine `order` can restore: its `status` is `undefined`/],
    ['returns a state that there is not', (snapshot: PersistedSnapshot) => snapshot, /Missing: state `order\.a`/],
    ['returns no timers but a text', (snapshot: PersistedSnapshot) => ({ ...toB2(snapshot), timers: 'x' }), /list of timers/],
    [
      'returns what cannot be stored',
      (snapshot: PersistedSnapshot) => ({ ...toB2(snapshot), context: { send: () => {} } }),
      /cannot be stored: .*`context\.send`/,
    ],
  ] as const) {
    it(`that ${what} is a failure that names the run, and no error`, () => {
      const result = plan(migrating(migrate))
      assert.ok(result.kind === 'failed')
      failsWith('MIGRATION_FAILED', message)(result.error)
      assert.match(result.error.message, /^The run `run 1` was not migrated from version `1` to the machine `order` as it is now/)
      assert.equal(result.error.details.run, 'run 1')
    })
  }

  it('that does not fit says what is missing as data, and one that gives a promise is a TypeError', () => {
    const unfit = plan(migrating((snapshot: PersistedSnapshot) => snapshot))
    assert.deepEqual(unfit.kind === 'failed' && unfit.error.details.missing, ['state `order.a`'])
    const late = plan(migrating(() => Promise.resolve()))
    assert.ok(late.kind === 'failed' && late.error.cause instanceof TypeError)
  })
})
