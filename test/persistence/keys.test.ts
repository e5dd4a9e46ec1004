import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPerdureError } from '../../src/errors.ts'
import * as keys from '../../src/persistence/keys.ts'

const run = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }),
    fc
      .array(fc.constantFrom('a', '/', '%', '2', 'F', 'b', 'd', 's', '.', '😀', 'é', '\u{10ffff}'), {
        minLength: 1,
        maxLength: 6,
      })
      .map((all) => all.join('')),
  )
  .filter((id) => !/\p{Cc}/u.test(id))
const step = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc
    .array(
      fc.constantFrom('a', '/', '%', '0', '\ud800', '%d800', 'é', '%00e9', '%0', '\udc00', '\uffff', '\u{10ffff}', '\0', ' '),
      { maxLength: 6 },
    )
    .map((all) => all.join('')),
)
const isWithin = (key: string, { gte, lt }: { gte: string; lt: string }): boolean =>
  Buffer.compare(Buffer.from(key), Buffer.from(gte)) >= 0 && Buffer.compare(Buffer.from(key), Buffer.from(lt)) < 0

describe('a key', () => {
  it('is one record of one run, whatever their names are', () => {
    const place = fc.tuple(fc.constantFrom('head', 'base', 'delta', 'step'), run, step, fc.nat({ max: 3 }))
    const toKey = ([kind, id, name, seq]: readonly [string, string, string, number]): string =>
      kind === 'head'
        ? keys.headKey(id)
        : kind === 'base'
          ? keys.baseKey(id)
          : kind === 'delta'
            ? keys.deltaKey(id, seq)
            : keys.stepKey(id, name)
    const toName = ([kind, id, name, seq]: readonly [string, string, string, number]): string =>
      JSON.stringify([kind, id, kind === 'step' ? name : kind === 'delta' ? seq : ''])
    fc.assert(
      fc.property(place, place, (one, other) => {
        assert.equal(toKey(one) === toKey(other), toName(one) === toName(other))
        assert.match(toKey(one), /^[!-~]+$/)
      }),
      { numRuns: 2_000 },
    )
  })

  it('leads back to its run and step', () => {
    fc.assert(
      fc.property(run, step, (id, name) => {
        assert.equal(keys.toStep(id, keys.stepKey(id, name)), name)
        assert.equal(keys.toRunId(keys.headKey(id)), id)
      }),
    )
  })

  it('is readable where a name is ordinary', () => {
    assert.equal(keys.stepKey('run-1', 'call/2.1/a:b_c'), 'r/run-1/s/call/2.1/a:b_c')
    assert.equal(keys.headKey('Köln/1'), 'h/K%C3%B6ln%2F1')
  })
})

describe('a range', () => {
  it('holds the steps of a run that begin with a text, and nothing else', () => {
    fc.assert(
      fc.property(run, run, step, step, (id, other, start, name) => {
        const range = keys.stepRange(id, start)
        assert.equal(isWithin(keys.stepKey(other, name), range), other === id && name.startsWith(start))
        assert.equal(isWithin(keys.stepKey(id, start + name), range), true)
        for (const key of [keys.headKey(other), keys.baseKey(other), keys.deltaKey(other, 1)])
          assert.equal(isWithin(key, range), false)
      }),
      { numRuns: 2_000 },
    )
  })

  it('holds the deltas of a run, in their order', () => {
    const numbers = [1, 9, 10, 99, 100, 1e6, 999_999_999_999]
    const written = numbers.map((seq) => keys.deltaKey('run', seq))
    assert.deepEqual(written.toSorted(), written)
    assert.ok(written.every((key) => isWithin(key, keys.deltaRange('run'))))
    assert.ok(!written.some((key) => isWithin(key, keys.deltaRange('run2')) || isWithin(key, keys.deltaRange('ru'))))
  })
})

const time = fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: Number.MAX_SAFE_INTEGER }))

describe('an index by time', () => {
  for (const [name, toKey, toRange, parse] of [
    ['of wakes', keys.wakeKey, keys.wakeRange, keys.toWake],
    ['of ends', keys.endedKey, keys.endedRange, keys.toEnded],
  ] as const) {
    // `as const`: tuples
    it(`${name} leads back to its time and run, in the order of time`, () => {
      fc.assert(
        fc.property(run, run, time, time, fc.integer({ min: -1, max: 20 }), (one, other, early, late, until) => {
          const key = toKey(early, one)
          assert.deepEqual(parse(key), { time: early, run: one })
          assert.match(key, /^[wf]\/\d{16}\/[!-.0-~]+$/)
          if (early !== late) assert.equal(key < toKey(late, other), early < late)
          assert.equal(key === toKey(early, other), one === other)
          assert.equal(isWithin(key, toRange()), true)
          assert.equal(isWithin(key, toRange(until)), early <= until)
        }),
        { numRuns: 2_000 },
      )
    })
  }

  it('has whole milliseconds from 0 on, never earlier than they were', () => {
    assert.equal(keys.wakeKey(1.2, 'a'), 'w/0000000000000002/a')
    assert.equal(keys.wakeKey(-5, 'a'), 'w/0000000000000000/a')
    assert.equal(isWithin(keys.wakeKey(1.2, 'a'), keys.wakeRange(1.9)), false)
    assert.equal(isWithin(keys.wakeKey(1.2, 'a'), keys.wakeRange(2)), true)
  })
})

describe('the records beside a run’s own', () => {
  it('are of one run, whatever the names are, and lead back to it', () => {
    const number = fc.nat({ max: 999 }).map((n) => String(n).padStart(6, '0'))
    fc.assert(
      fc.property(run, run, step, step, number, (one, other, event, another, seq) => {
        assert.deepEqual(keys.toInbox(keys.inboxKey(one, seq)), { run: one, number: seq })
        assert.equal(isWithin(keys.inboxKey(one, seq), keys.inboxRange(other)), one === other)
        assert.equal(isWithin(keys.inboxKey(one, seq), keys.inboxRange()), true)
        assert.equal(keys.toDeletion(keys.deletionKey(one)), one)
        assert.equal(isWithin(keys.deletionKey(one), keys.deletionRange()), true)
        assert.equal(keys.eventKey(one, event) === keys.eventKey(other, another), one === other && event === another)
        assert.match(keys.eventKey(one, event), /^[!-~]+$/)
        for (const key of [keys.baseKey(one), keys.deltaKey(one, 3), keys.stepKey(one, event), keys.eventKey(one, event)]) {
          assert.equal(isWithin(key, keys.recordRange(other)), one === other)
          assert.equal(isWithin(key, keys.allRecords()), true)
        }
        for (const key of [keys.headKey(one), keys.inboxKey(one, seq), keys.wakeKey(0, one), keys.deletionKey(one)])
          assert.equal(isWithin(key, keys.allRecords()), false)
        assert.equal(isWithin(keys.headKey(one), keys.headsWithin(other)), one.startsWith(`${other}/`))
        assert.equal(isWithin(keys.headKey(`${other}/${one}`), keys.headsWithin(other)), true)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a run id', () => {
  it('is a string of 1 to 500 well-formed characters without control characters', () => {
    for (const id of ['a', '.', '..', 'a/b', '%', 'x'.repeat(500), '😀']) keys.assertRunId(id)
    for (const id of ['', 'x'.repeat(501), '\ud800', 'a\0', 'a\n', '\u0085', undefined, null, 1, {}])
      assert.throws(
        () => keys.assertRunId(id),
        (error) => isPerdureError(error, 'RUN_ID_INVALID'),
      )
    assert.throws(
      () => keys.baseKey('\ud800'),
      (error) => isPerdureError(error, 'RUN_ID_INVALID'),
    )
  })
})
