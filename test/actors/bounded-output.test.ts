import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBoundedOutput } from '../../src/actors/bounded-output.ts'

test('a character is not cut in two, wherever the cut is', () => {
  const bytes = Buffer.from('aé€😀'.repeat(30))
  for (let limit = 2; limit < bytes.length; limit++) {
    for (const size of [1, 3, 7, bytes.length]) {
      const output = createBoundedOutput(limit)
      for (let at = 0; at < bytes.length; at += size) output.write(bytes.subarray(at, at + size))
      const { text, totalBytes, cutBytes } = output.toText()
      assert.doesNotMatch(text, /\ufffd/)
      assert.equal(totalBytes, bytes.length)
      const marker = `\n[… ${cutBytes} of ${totalBytes} bytes cut …]\n`
      assert.ok(text.includes(marker), text)
      assert.equal(Buffer.byteLength(text.replace(marker, '')), totalBytes - cutBytes)
    }
  }
})
