import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { isPerdureError, PerdureError } from '../../src/errors.ts'
import { decodeRecord, encodeRecord, readChecksum } from '../../src/persistence/codec.ts'
import { storable } from '../support/storable-value.ts'

const rich = {
  text: 'Grüße, \ud83d\ude00 and \ud800',
  list: [1, -0, Number.NaN, 2n ** 80n, undefined, null],
  map: new Map([[{ key: 1 }, new Set([new Date(0)])]]),
  bytes: Buffer.from('bytes'),
  error: new PerdureError('RUN_CONFLICT', 'no', { cause: new TypeError('inner'), details: { run: 'x' } }),
}

/** Reading fails with a named error about this record. */
function assertNoticed(key: string, bytes: Uint8Array, what: string, code: 'RUN_CORRUPT' | 'STORE_FORMAT_NEWER' = 'RUN_CORRUPT') {
  assert.throws(
    () => decodeRecord(key, bytes),
    (error) => {
      assert.ok(isPerdureError(error, code), `${what}: ${String(error)}`)
      assert.equal(error.details.key, key)
      assert.match(error.message, new RegExp(`\`${key}\``))
      return true
    },
    what,
  )
}

/** A record with a right checksum around any payload. */
function toRecord(key: string, payload: Uint8Array): Uint8Array {
  const record = new Uint8Array(5 + payload.byteLength)
  record[0] = 1
  new DataView(record.buffer).setUint32(1, crc32(payload, crc32(key)), true)
  record.set(payload, 5)
  return record
}

describe('a record', () => {
  const record = encodeRecord('h/run', rich)

  it('with any one bit flipped is noticed', () => {
    for (let bit = 0; bit < record.byteLength * 8; bit++) {
      const flipped = record.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const newer = bit < 8 && (flipped[0] ?? 0) > 1
      assertNoticed('h/run', flipped, `bit ${bit}`, newer ? 'STORE_FORMAT_NEWER' : 'RUN_CORRUPT')
    }
  })

  it('cut short anywhere is noticed', () => {
    for (let length = 0; length < record.byteLength; length++)
      assertNoticed('h/run', record.subarray(0, length), `${length} bytes`)
  })

  it('with bytes after its end is noticed', () => {
    assertNoticed('h/run', Uint8Array.of(...record, 0), 'a zero')
    assertNoticed('h/run', Uint8Array.of(...record, ...record), 'itself')
  })

  it('under another key is noticed', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), storable, (key, other, value) => {
        fc.pre(Buffer.from(key).compare(Buffer.from(other)) !== 0)
        assert.throws(
          () => decodeRecord(other, encodeRecord(key, value)),
          (error) => isPerdureError(error, 'RUN_CORRUPT'),
        )
      }),
    )
  })

  it('is read from the middle of other memory, also as a Buffer', () => {
    const memory = Buffer.concat([Buffer.alloc(3, 7), record, Buffer.alloc(9, 7)])
    const middle = memory.subarray(3, 3 + record.byteLength)
    assert.deepStrictEqual(decodeRecord('h/run', middle), rich)
    assert.deepStrictEqual(decodeRecord('h/run', new Uint8Array(memory.buffer, middle.byteOffset, middle.length)), rich)
    assert.equal(readChecksum(middle), readChecksum(record))
  })

  it('does not change when others are encoded after it', () => {
    const first = encodeRecord('a', { text: 'a'.repeat(3_000) })
    const copy = first.slice()
    for (let count = 0; count < 50; count++) encodeRecord('b', { text: 'b'.repeat(3_000) })
    assert.deepEqual(first, copy)
  })
})

describe('bytes that are no record', () => {
  it('are a named error, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        assert.throws(
          () => decodeRecord('key', bytes),
          (error) => isPerdureError(error, 'RUN_CORRUPT') || isPerdureError(error, 'STORE_FORMAT_NEWER'),
        )
      }),
    )
  })

  it('are a named error or a value when only the checksum is right', () => {
    const token = fc.constantFrom(
      0x81,
      0x82,
      0x91,
      0x92,
      0xc1,
      0xc4,
      0xc7,
      0xc8,
      0xd4,
      0xd5,
      0xd7,
      0xdb,
      0xdd,
      0xdf,
      0x42,
      0x62,
      0x65,
    )
    const other = fc.constantFrom(0x69, 0x70, 0x72, 0x73, 0x74, 0x78, 0xff, 0x00, 0x01, 0xa1)
    const payload = fc.array(fc.oneof(token, other, fc.nat({ max: 255 })), { minLength: 1, maxLength: 40 })
    const readsOrNames = (bytes: readonly number[]): void => {
      try {
        decodeRecord('key', toRecord('key', Uint8Array.from(bytes)))
      } catch (error) {
        assert.ok(isPerdureError(error, 'RUN_CORRUPT'), String(error))
      }
    }
    fc.assert(fc.property(payload, readsOrNames), { numRuns: 5_000 })
    readsOrNames(new Array<number>(1_000_000).fill(0x91))
  })

  it('are a named error when they hold what this version does not write', () => {
    const kinds = ['map', 'set', 'error', 'bytes', 'regexp', 'sparse', 'object', 'null', 'utf16', 'newer']
    for (const kind of kinds)
      for (const data of [null, undefined, 1, 'text', [1], [null, null]])
        try {
          const inner = decodeRecord('key', encodeRecord('key', { a: [kind, data] })) as { a: unknown } // as encoded
          assert.ok(inner)
          // The same payload with `$perdure` in the place of a key of that length.
          const bytes = encodeRecord('key', { '-perdure': [kind, data] }).subarray(5)
          const at = Buffer.from(bytes).indexOf('-perdure')
          const payload = bytes.slice()
          payload[at] = 0x24
          decodeRecord('key', toRecord('key', payload))
        } catch (error) {
          assert.ok(isPerdureError(error, 'RUN_CORRUPT'), `${kind}: ${String(error)}`)
        }
  })

  it('do not disturb what is read next', () => {
    assertNoticed('key', toRecord('key', Uint8Array.of(0x92, 1)), 'cut short')
    assert.deepStrictEqual(decodeRecord('key', encodeRecord('key', rich)), rich)
  })
})

describe('a megabyte', () => {
  it('is encoded and decoded whole, long strings and many items alike', () => {
    const messages = Array.from({ length: 10_000 }, (_, index) => ({ role: 'user', content: `${index} ${'x'.repeat(80)}` }))
    const context = { messages, text: '\ufeff€'.repeat(300_000) }
    assert.deepStrictEqual(decodeRecord('key', encodeRecord('key', context)), context)
  })
})
