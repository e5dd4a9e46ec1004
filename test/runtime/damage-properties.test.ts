/** One record of a store is not what it was: it is named, nobody else's run is touched, and nothing is believed that cannot be (P9). */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import fc from 'fast-check'
import { isPerdureError } from 'perdure'
import { decodeStorable, encodeStorable } from '../../src/persistence/codec.ts'
import { type Entry, live, type Outcome, type Outcomes, toEntries } from '../support/damaged-crew.ts'

/** Of all runs together. */
const SHARED: ReadonlySet<string> = new Set(['verify', 'runs', 'pending'])
const CORRUPT: ReadonlySet<string> = new Set(['RUN_CORRUPT', 'STORE_CORRUPT', 'STORE_FORMAT_NEWER'])

let entries: readonly Entry[]
let approval: string
let whole: Outcomes
before(async () => {
  const left = await toEntries()
  entries = left.entries
  approval = left.approval
  whole = await live(entries, approval)
  for (const [name, outcome] of Object.entries(whole))
    assert.ok('value' in outcome || name === 'door/broken', `${name}: ${toTold(outcome)}`)
})

/** A record by its number: any of them as often as any other, and more of the kinds that there are few of than of events. */
const record = fc.nat().map((number) => {
  const few = entries.filter(([key]) => !/^r\/book\/[de]\//.test(key))
  const all = number % 4 === 0 ? entries : few
  return all[Math.floor(number / 4) % all.length] ?? assert.fail()
})

/** The run that a record is of. */
const toRun = (key: string): string => decodeURIComponent(key.split('/')[/^[fw]\//.test(key) ? 2 : 1] ?? '')
/** Whether an outcome is that of a run, of one that it belongs to, or of its fork. */
function isOf(name: string, run: string): boolean {
  const [of = ''] = name.split(':')
  return run === of || run.startsWith(`${of}/`) || (of === 'helper/ben' && run === 'helper/bob')
}

/** What was told, without what differs from life to life. */
const toTold = (outcome: Outcome | undefined): string =>
  JSON.stringify(outcome, (name, value) => {
    if (value instanceof Error) return `${value.name}: ${value.message}`
    return /At$|^durationMs$/.test(name) ? undefined : value
  })

function assertOthers(outcomes: Outcomes, run: string): void {
  for (const name of Object.keys(whole))
    if (!SHARED.has(name) && !isOf(name, run)) assert.equal(toTold(outcomes[name]), toTold(whole[name]), name)
}

/** Refused by one of our names; or what the code of a user made of a value of its own. */
function assertNamed(name: string, outcome: Outcome | undefined): void {
  if (outcome === undefined || !('error' in outcome)) return
  const { error } = outcome
  if (isPerdureError(error)) return
  assert.ok(error instanceof Error, `${name}: ${String(error)}`)
  const [, thrower = ''] = error.stack?.split(/\n\s+at /) ?? []
  assert.match(`${error.message} ${thrower}`, /The hinge broke|managed-crew|damaged-crew/, `${name}: ${error.stack}`)
}

describe('a store in which one record', () => {
  const damage = fc.oneof(
    fc.record({ what: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat(7) }),
    fc.record({ what: fc.constant('cut' as const), at: fc.nat() }),
    fc.record({ what: fc.constant('grow' as const), more: fc.uint8Array({ minLength: 1, maxLength: 20 }) }),
    fc.record({ what: fc.constant('replace' as const), by: fc.uint8Array({ maxLength: 60 }) }),
    fc.record({ what: fc.constant('exchange' as const), by: record }),
  )
  function toDamaged([key, bytes]: Entry, how: typeof damage extends fc.Arbitrary<infer T> ? T : never): Uint8Array {
    if (how.what === 'flip') {
      const at = how.at % bytes.byteLength
      return bytes.with(at, (bytes[at] ?? 0) ^ (1 << how.bit))
    }
    if (how.what === 'cut') return bytes.slice(0, how.at % bytes.byteLength)
    if (how.what === 'grow') return Buffer.concat([bytes, how.more])
    if (how.what === 'replace') return how.by
    return how.by[0] === key ? new Uint8Array() : how.by[1]
  }

  it('is damaged: its run is refused by name or is as it was, the others go on, and verify tells', { timeout: 120_000 }, () =>
    fc.assert(
      fc.asyncProperty(record, damage, async (entry, how) => {
        const [key] = entry
        const run = toRun(key)
        const damaged = toDamaged(entry, how)
        const outcomes = await live(
          entries.map((each) => (each === entry ? [key, damaged] : each)),
          approval,
        )
        // What a newer version wrote is not known here: nothing of that store is.
        const { open = assert.fail() } = outcomes
        if ('error' in open && isPerdureError(open.error, 'STORE_FORMAT_NEWER') && (damaged[0] ?? 0) > 2) return
        assertOthers(outcomes, run)
        for (const [name, outcome] of Object.entries(outcomes)) {
          if (name === 'verify' || toTold(outcome) === toTold(whole[name])) continue
          if ('value' in outcome) assert.ok(SHARED.has(name), `${name} is another: ${toTold(outcome)}`)
          else assert.ok(isPerdureError(outcome.error) && CORRUPT.has(outcome.error.code), `${name}: ${toTold(outcome)}`)
        }
        if (/^[hr]\//.test(key)) assert.notEqual(toTold(outcomes.verify), toTold(whole.verify), 'verify tells')
      }),
      { numRuns: 200 },
    ),
  )

  const odd = fc.oneof(
    fc.constantFrom(null, undefined, true, '', 'text', -1, 0, 1, 2 ** 31, 2 ** 53, 1.5, Number.NaN, 1n, [], {}),
    fc.constant(new Uint8Array(3)),
    fc.jsonValue({ maxDepth: 2 }),
  )
  type Change = { readonly path: readonly number[]; readonly to: unknown; readonly isGone: boolean }
  /** Another value at one place of a value. */
  function change(value: unknown, [first, ...rest]: readonly number[], how: Change): unknown {
    if (first === undefined || typeof value !== 'object' || value === null || value instanceof Uint8Array) return how.to
    const keys = Object.keys(value)
    const key = keys[first % (keys.length + 1)]
    if (key === undefined) return how.to
    const copy: Record<string, unknown> = Array.isArray(value) ? ([...value] as never) : { ...value } // either is written by its keys
    if (rest.length === 0 && how.isGone) delete copy[key]
    else copy[key] = change(copy[key], rest, how)
    return copy
  }

  async function assertRefused([key, bytes]: Entry, changed: unknown): Promise<void> {
    const record = encodeStorable(key, changed, bytes[0] === 2 ? 2 : 1)
    const outcomes = await live(
      entries.map((each) => (each[0] === key ? [key, record] : each)),
      approval,
    )
    assertOthers(outcomes, toRun(key))
    for (const [name, outcome] of Object.entries(outcomes)) assertNamed(name, outcome)
  }

  it(
    'says something else with a checksum that is right: what is refused is refused by name, and the others go on',
    {
      timeout: 120_000,
    },
    () =>
      fc.assert(
        fc.asyncProperty(
          record,
          fc.record({ path: fc.array(fc.nat(20), { maxLength: 5 }), to: odd, isGone: fc.boolean() }),
          async (entry, how) => assertRefused(entry, change(decodeStorable(...entry), how.path, how)),
        ),
        { numRuns: 200 },
      ),
  )

  it('says nothing with a checksum that is right: the same', { timeout: 120_000 }, async () => {
    const isOneOfMany = ([key]: Entry): boolean => /^r\/book\/[de]\/.*[1-9]$/.test(key)
    for (const entry of entries) if (!isOneOfMany(entry)) for (const value of [{}, null]) await assertRefused(entry, value)
  })
})
