import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPerdureError } from '../../src/errors.ts'
import { decodeRecord, encodeRecord } from '../../src/persistence/codec.ts'
import { MAX_DEPTH, toStorable } from '../../src/persistence/storable.ts'
import { storable, unstorable } from '../support/storable-value.ts'

const keep = (value: unknown): unknown => decodeRecord('key', encodeRecord('key', value))

function assertRefused(value: unknown, path: readonly (string | number)[], words = /./): void {
  assert.throws(
    () => toStorable(value),
    (error) => {
      assert.ok(isPerdureError(error, 'VALUE_NOT_STORABLE'), String(error))
      assert.deepEqual(error.details.path, path)
      assert.match(error.message, words)
      return true
    },
  )
}

const nest = (levels: number, wrap: (inner: unknown) => unknown): unknown => {
  let value: unknown = 'bottom'
  for (let level = 0; level < levels; level++) value = wrap(value)
  return value
}
const wraps: Record<string, (inner: unknown) => unknown> = {
  objects: (inner) => ({ inner }),
  arrays: (inner) => [inner],
  'objects with odd keys': (inner) => ({ ['__proto__']: inner }),
  'objects without prototype': (inner) => Object.assign(Object.create(null), { inner }),
  maps: (inner) => new Map([['inner', inner]]),
  sets: (inner) => new Set([inner]),
  'sparse arrays': (inner) => Object.assign(new Array(3), { 1: inner }),
  causes: (inner) => new Error('outer', { cause: inner }),
}

describe('what can be kept', () => {
  it('comes back deep-strict-equal', () => {
    fc.assert(
      fc.property(storable, (value) => assert.deepStrictEqual(keep(value), value)),
      { numRuns: 2_000 },
    )
  })

  it('is not changed by being encoded', () => {
    fc.assert(
      fc.property(fc.clone(storable, 2), ([value, same]) => {
        encodeRecord('key', value)
        assert.deepStrictEqual(value, same)
      }),
      { numRuns: 300 },
    )
  })

  it('is written as the same bytes again', () => {
    fc.assert(
      fc.property(storable, (value) => assert.deepEqual(encodeRecord('key', keep(value)), encodeRecord('key', value))),
      { numRuns: 300 },
    )
  })

  it('shares no memory with the record', () => {
    const record = encodeRecord('key', { bytes: new Uint8Array([1, 2, 3]), buffer: Buffer.from([1]) })
    const value = decodeRecord('key', record) as { bytes: Uint8Array; buffer: Buffer } // as encoded
    value.bytes.fill(9)
    value.buffer.fill(9)
    assert.equal(value.bytes.buffer.byteLength, 3)
    assert.deepEqual(decodeRecord('key', record), { bytes: new Uint8Array([1, 2, 3]), buffer: Buffer.from([1]) })
  })

  it('an error of a class of its own comes back as the class it extends, with name, stack and properties', () => {
    class PaymentError extends RangeError {
      override name = 'PaymentError'
      readonly status = 402
    }
    const error = new PaymentError('no money')
    const kept = keep(error) as PaymentError // as encoded
    assert.equal(Object.getPrototypeOf(kept), RangeError.prototype)
    assert.deepEqual([kept.name, kept.message, kept.status, kept.stack], ['PaymentError', 'no money', 402, error.stack])
  })

  it('an error whose name is no text keeps it as a property like any other', () => {
    const error = Object.assign(new Error('odd'), { name: ['not', 'a', 'name'] })
    assert.deepStrictEqual(keep(error), error)
    assert.deepEqual(Object.keys(keep(error) as Error), ['name']) // as encoded
  })

  it('a DOMException keeps its name and message', () => {
    const kept = keep(AbortSignal.abort().reason) as Error // as encoded
    assert.ok(kept instanceof Error)
    assert.deepEqual([kept.name, kept.message], ['AbortError', 'This operation was aborted'])
  })

  it('an actor reference becomes the marker that XState revives, data of that shape does not', () => {
    const reference = { sessionId: 'x:1', id: 'child', ref: 1, send: () => {} }
    assert.deepEqual(keep({ reference }), { reference: { xstate$$type: 1, id: 'child' } })
    const data = { sessionId: 'x:1', id: 'child', ref: 1, send: 'by post' }
    assert.deepEqual(keep({ data }), { data })
  })

  it('an object that stands at two places is no cycle', () => {
    const twice = { a: [1] }
    assert.deepEqual(keep([twice, { twice }]), [{ a: [1] }, { twice: { a: [1] } }])
  })
})

describe('what cannot be kept', () => {
  for (const [value, words] of unstorable)
    it(`is refused: ${words.source}`, () => {
      assertRefused(value, [], words)
      assertRefused({ list: [0, { deep: value }] }, ['list', 1, 'deep'], words)
      assertRefused(new Map([['key', [value]]]), ['key', 0], words)
      assertRefused(new Map([[{}, value]]), [0], words)
      assertRefused({ ['__proto__']: new Set([1, value]) }, ['__proto__', 1], words)
      assertRefused(new Error('outer', { cause: { inner: value } }), ['cause', 'inner'], words)
    })

  it('is refused when it is a getter, which is not called', () => {
    const value = {
      list: [
        {
          get now(): never {
            throw new Error('called')
          },
        },
      ],
    }
    assertRefused(value, ['list', 0, 'now'], /a getter/)
  })

  it('is refused when it holds itself', () => {
    const self: unknown[] = []
    self.push([{ self }])
    assertRefused({ self }, ['self', 0, 0, 'self'], /circular/)
    const map = new Map<string, unknown>()
    map.set('me', map)
    assertRefused(map, ['me'], /circular/)
    const error = new Error('me')
    error.cause = error
    assertRefused(error, ['cause'], /circular/)
  })
})

describe('depth', () => {
  for (const [name, wrap] of Object.entries(wraps)) {
    it(`${name} may be nested ${MAX_DEPTH} levels deep`, () => {
      const value = nest(MAX_DEPTH, wrap)
      let kept: unknown = keep(value)
      for (let level = 0; level < MAX_DEPTH; level++) {
        assert.equal(typeof kept, 'object', `level ${level}`)
        const current = kept as object // as asserted
        if (current instanceof Map) kept = current.get('inner')
        else if (current instanceof Set) [kept] = current
        else if (current instanceof Error) kept = current.cause
        else kept = Object.values(current)[0]
      }
      assert.equal(kept, 'bottom')
    })

    it(`${name} that are nested 10,000 levels deep are refused by name`, () => {
      const value = nest(10_000, wrap)
      assert.throws(
        () => toStorable(value),
        (error) =>
          isPerdureError(error, 'VALUE_NOT_STORABLE') && /levels deep/.test(error.message) && error.message.length < 1_000,
      )
    })
  }
})
