import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeStorable, encodeStorable } from '../../src/persistence/codec.ts'
import { createDelta } from '../../src/persistence/delta.ts'
import { baseKey, deltaKey } from '../../src/persistence/keys.ts'
import { createSnapshotLog, loadSnapshotLog } from '../../src/persistence/snapshots.ts'
import type { Operation } from '../../src/persistence/store.ts'
import { openHeldStore } from '../support/held-store.ts'

const RUN = 'run 1'
const sizeOf = (operations: readonly Operation[]): number =>
  operations.reduce(
    (sum, operation) =>
      sum + (operation.type === 'put' ? operation.key.length + operation.value.byteLength : operation.key.length),
    0,
  )

describe('the cost of snapshots (P6)', () => {
  const APPENDS = 3_000
  const written: number[] = []
  const store = openHeldStore()
  const done = (async () => {
    const log = createSnapshotLog(RUN)
    let messages: readonly object[] = []
    for (let turn = 0; turn < APPENDS; turn++) {
      messages = [...messages, { role: 'user', content: `message ${String(turn).padStart(6, '0')} ${'x'.repeat(60)}` }]
      const operations = log.write({ status: 'active', value: 'ready', context: { messages, turn } })
      written.push(sizeOf(operations))
      await (await store).write(operations)
    }
    return {
      log,
      snapshotBytes: encodeStorable('key', { status: 'active', value: 'ready', context: { messages, turn: APPENDS } }).byteLength,
    }
  })()

  it('an append costs the same after 3,000 appends as after 100', async () => {
    await done
    // A commit that writes a new base is paid for by the appends between: the median is the append itself.
    const median = (from: number, to: number): number => written.slice(from, to).toSorted((a, b) => a - b)[(to - from) >> 1] ?? 0
    const [early, late] = [median(100, 200), median(2_900, 3_000)]
    assert.ok(Math.abs(late - early) <= early * 0.1, `${early} bytes, then ${late}`)
  })

  it('all appends together write less than four times the final size', async () => {
    const { snapshotBytes } = await done
    const total = written.reduce((sum, bytes) => sum + bytes, 0)
    assert.ok(total < 4 * snapshotBytes, `${total} bytes for a snapshot of ${snapshotBytes}`)
  })

  it('restoring reads at most three times the snapshot', async () => {
    const { log, snapshotBytes } = await done
    const held = await store
    held.readBytes = 0
    await loadSnapshotLog(held, RUN, log.end)
    assert.ok(held.readBytes <= 3 * snapshotBytes, `${held.readBytes} bytes for a snapshot of ${snapshotBytes}`)
  })

  it('what only grows, by more than a delta takes beside it, is not written again', () => {
    const log = createSnapshotLog(RUN)
    let messages: readonly string[] = []
    let bases = 0
    for (let turn = 0; turn < 500; turn++) {
      messages = [...messages, 'x'.repeat(600)]
      if (log.write({ messages, turn }).some(({ key }) => key === baseKey(RUN))) bases++
    }
    assert.equal(bases, 1)
  })
})

/** One change of a state: `at` picks what it is about. */
interface Edit {
  readonly kind: 'append' | 'replace' | 'cut' | 'clear' | 'set' | 'remove' | 'restart'
  readonly at: number
  readonly length: number
}
const edit: fc.Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom(
    ...(['append', 'append', 'append', 'replace', 'replace', 'cut', 'set', 'set', 'remove', 'restart'] as const), // as in Edit
    ...(['append', 'append', 'append', 'replace', 'set', 'set', 'set', 'clear'] as const), // as above
  ),
  at: fc.nat({ max: 20 }),
  length: fc.nat({ max: 2_500 }),
})

interface Edited {
  readonly texts: readonly string[]
  readonly named: Readonly<Record<string, string>>
  readonly edits: number
}

function change({ texts, named, edits }: Edited, { kind, at, length }: Edit): Edited {
  const text = 'x'.repeat(length)
  const next = { texts, named, edits: edits + 1 }
  if (kind === 'append') return { ...next, texts: [...texts, text] }
  if (kind === 'replace') return { ...next, texts: texts.map((old, index) => (index === at % texts.length ? text : old)) }
  if (kind === 'cut') return { ...next, texts: texts.slice(at) }
  if (kind === 'clear') return { ...next, texts: [] }
  if (kind === 'set') return { ...next, named: { ...named, [`key ${at}`]: text } }
  return { ...next, named: Object.fromEntries(Object.entries(named).filter(([key]) => key !== `key ${at}`)) }
}

describe('whatever is changed in a snapshot (P6)', () => {
  const baseBytes = (value: unknown): number =>
    encodeStorable(baseKey(RUN), { seq: 1, after: 0, delta: createDelta(undefined, value) }).byteLength

  it('writing costs at most twice the changes, and restoring reads at most 2.5 times the snapshot as last measured, or 8 KB', async () => {
    let bases = 0
    let spared = 0
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 40, maxLength: 160, size: 'max' }), async (edits) => {
        const store = await openHeldStore()
        let log = createSnapshotLog(RUN)
        let state: Edited = { texts: ['0'.repeat(1_000)], named: {}, edits: 0 }
        let changes = 0
        let written = 0
        let measured = 0
        let measuredAt = 0
        for (const next of [undefined, ...edits]) {
          if (next?.kind === 'restart') {
            log = await loadSnapshotLog(store, RUN, log.end)
            assert.deepEqual(log.value, state)
            state = log.value as Edited // as it was written
            continue
          }
          const before = next === undefined ? undefined : state
          if (next !== undefined) state = change(state, next)
          const operations = log.write(state)
          await store.write(operations)
          changes += encodeStorable(deltaKey(RUN, 1), { seq: 1, after: 0, delta: createDelta(before, state) }).byteLength
          let isMeasured = false
          for (const operation of operations) {
            if (operation.type === 'del') continue
            written += operation.value.byteLength
            const isBase = operation.key === baseKey(RUN)
            const { size } = decodeStorable(operation.key, operation.value) as { readonly size?: number } // a link
            const snapshotBytes = baseBytes(state)
            isMeasured ||= isBase || size !== undefined
            if (isMeasured) measured = snapshotBytes
            if (isBase) measuredAt = 0
            if (size !== undefined) assert.ok(Math.abs(size - snapshotBytes) < 10, `${size} for ${snapshotBytes}`)
            if (isBase) bases++
            else if (size !== undefined) spared++
          }
          store.readBytes = 0
          const restored = await loadSnapshotLog(store, RUN, log.end)
          assert.deepEqual(restored.value, state)
          assert.ok(store.readBytes <= Math.max(2.5 * measured, 8 * 1024), `${store.readBytes} bytes read for ${measured}`)
          if (isMeasured) {
            assert.ok(store.readBytes >= 1.25 * measuredAt, `measured at ${measuredAt}, and again at ${store.readBytes}`)
            measuredAt = store.readBytes
          }
          // The numbers in a link are up to 10 bytes longer, for each record.
          assert.ok(written <= 2 * changes + 10 * edits.length, `${written} bytes written for ${changes}`)
        }
      }),
      { numRuns: 40 },
    )
    assert.ok(bases > 40 && spared > 40, `${bases} bases, ${spared} times none was needed`)
  })
})
