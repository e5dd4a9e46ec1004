import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { createBoundedOutput } from '../../src/actors/bounded-output.ts'
import { createOutputFile, readOutputFile, readOutputSince } from '../../src/actors/output-file.ts'
import { createTempRoom } from '../support/temp-room.ts'

// What would break these: a ring that wraps in the wrong place, and a number that says more than was written.

const { path, remove } = await createTempRoom()
after(remove)

const chunks = fc.array(fc.uint8Array({ maxLength: 12 }), { maxLength: 12 })

test('a file keeps of a stream what memory keeps of it, and never grows beyond its bound', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 20 }), chunks, async (maxBytes, chunks) => {
      const name = path('stdout')
      const file = createOutputFile(name, maxBytes)
      const memory = createBoundedOutput(maxBytes)
      for (const chunk of chunks) {
        file.write(chunk)
        memory.write(chunk)
        assert.deepEqual(await readOutputFile(name), memory.toText())
      }
      file.close()
      assert.equal(file.totalBytes, memory.totalBytes)
      assert.equal(file.failed, false)
      assert.ok(statSync(name).size <= 38 + maxBytes)
    }),
    { numRuns: 200 },
  )
})

test('a reader that looks now and then sees every byte that is still there once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.array(fc.tuple(fc.uint8Array({ maxLength: 12 }), fc.boolean()), { maxLength: 12 }),
      async (maxBytes, writes) => {
        const name = path('stdout')
        const file = createOutputFile(name, maxBytes)
        const all: number[] = []
        const seen: (number | undefined)[] = []
        const look = async () => {
          for (let times = 0; times < 2; times++) {
            const part = await readOutputSince(name, seen.length)
            if (part === undefined) return
            assert.equal(part.bytes.length, part.end - part.start)
            while (seen.length < part.start) seen.push(undefined)
            seen.push(...part.bytes)
          }
        }
        for (const [chunk, isLooking] of writes) {
          file.write(chunk)
          all.push(...chunk)
          if (isLooking) await look()
        }
        await look()
        file.close()
        assert.equal(seen.length, all.length)
        for (const [index, byte] of seen.entries()) if (byte !== undefined) assert.equal(byte, all[index])
        // Whoever looks after each write misses only what one write has pushed out.
        const headSize = Math.ceil(maxBytes / 2)
        assert.deepEqual(seen.slice(0, headSize), all.slice(0, headSize))
      },
    ),
    { numRuns: 200 },
  )
})

test('a file that is missing or is none has no output', async () => {
  assert.deepEqual(await readOutputFile(path('stdout')), { text: '', totalBytes: 0, cutBytes: 0 })
  assert.equal(await readOutputSince(path('stdout'), 0), undefined)
})

test('a file is never replaced', () => {
  const name = path('stdout')
  createOutputFile(name, 10).close()
  assert.throws(() => createOutputFile(name, 10), { code: 'EEXIST' })
})

test('a disk that takes no more is told, and what it took stays readable', async () => {
  const name = path('stdout')
  const file = createOutputFile(name, 10)
  file.write(Buffer.from('abc'))
  file.close()
  // Its file is closed: every later write fails.
  file.write(Buffer.from('def'))
  assert.deepEqual([file.failed, file.totalBytes], [true, 6])
  assert.deepEqual(await readOutputFile(name), { text: 'abc', totalBytes: 3, cutBytes: 0 })
})
