import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toFirstLine, toSafeJson, toSafeText } from '../../src/observe/safe-text.ts'
import { cutText, toWidth, wrapText } from '../../src/observe/text-width.ts'

test('escape sequences are removed, whatever they would do', () => {
  assert.equal(toSafeText('\u001b[31mred\u001b[0m'), 'red')
  assert.equal(toSafeText('a\u001b]0;title\u0007b'), 'ab')
  assert.equal(toSafeText('a\u001b]8;;https://evil.example\u001b\\link\u001b]8;;\u001b\\'), 'alink')
  assert.equal(toSafeText('\u009b2Jcleared'), 'cleared')
})

test('no control character, line separator or mark of direction is left', () => {
  const hostile = Array.from({ length: 0x3000 }, (_, code) => String.fromCodePoint(code))
    .join('x')
    .slice(0, 3_999)
  const all =
    hostile + [0x85, 0x200b, 0x200e, 0x202e, 0x2028, 0x2066, 0x2069, 0xfeff, 0xe0041].map((c) => String.fromCodePoint(c)).join('')
  for (const text of [toSafeText(all), toSafeText(all.slice(3_999))])
    assert.doesNotMatch(text, /[\p{Cc}\p{Bidi_Control}\u2028\u2029\u200b\ufeff\u{e0000}-\u{e007f}]/u)
  assert.equal(toSafeText('pay \u202e001$\u202c now'), 'pay �001$� now')
})

test('a text becomes one line, and half a character a whole one', () => {
  assert.equal(toSafeText(' a\r\n\tb\u00a0 c '), 'a b c')
  assert.equal(toSafeText('a\ud800b'), 'a�b')
  assert.equal(toFirstLine('\n\u001b[1m\n  first\u2028second'), 'first')
  assert.equal(toFirstLine(''), '')
})

test('a very long text is cut before it is looked at', () => {
  assert.equal(toSafeText('x'.repeat(1_000_000)).length, 4_000)
})

test('JSON keeps its meaning and loses what acts on a terminal', () => {
  const value = { text: 'a\u001b[31m\u009b\u202e\u2028\u{e0041}\u007f' }
  const line = toSafeJson(JSON.stringify(value))
  assert.match(line, /^[\x20-\x7e]*$/)
  assert.deepEqual(JSON.parse(line), value)
})

test('widths are those of a terminal', () => {
  assert.deepEqual(['abc', '日本', '👩‍👩‍👧', 'e\u0301', '▶'].map(toWidth), [3, 4, 2, 1, 1])
  assert.equal(cutText('日本語', 5), '日本…')
  assert.equal(cutText('short', 5), 'short')
})

test('a long text is wrapped between words, and what does not fit is cut', () => {
  assert.deepEqual(wrapText('one two three four', 9, 3), ['one two', 'three', 'four'])
  assert.deepEqual(wrapText('one two three four', 9, 2), ['one two', 'three fo…'])
  assert.deepEqual(wrapText('1\u00a0call · 2\u00a0tokens', 11, 3), ['1 call ·', '2 tokens'])
  assert.deepEqual(wrapText('x'.repeat(12), 5, 3), ['xxxx…'])
})
