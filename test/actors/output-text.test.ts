import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { parseOutput } from '../../src/actors/output-text.ts'

const fence = (text: string, language = 'json') => `\`\`\`${language}\n${text}\n\`\`\``

/** JSON as models write it, with a lot of what looks like fences. */
const value = fc.jsonValue().chain((json) =>
  fc.oneof(
    fc.constant(json),
    fc.string({ unit: fc.constantFrom('`', '```', '\n', '{', '"', 'json') }).map((text) => ({ text, json })),
  ),
)

test('any JSON is read as it was written, plain or in a fence, compact or not', async () => {
  await fc.assert(
    fc.asyncProperty(
      value,
      fc.constantFrom(undefined, 2),
      fc.constantFrom('', 'json', 'JSON'),
      async (json, indent, language) => {
        fc.pre(!JSON.stringify(json).includes('"__proto__"'))
        const text = JSON.stringify(json, undefined, indent)
        const expected = JSON.parse(text)
        for (const answer of [text, fence(text, language), `\n ${fence(text, language)}\n\n`])
          assert.deepEqual(await parseOutput(z.unknown(), answer), { ok: true, value: expected })
      },
    ),
  )
})

test('no text makes it throw, and what is no JSON says so', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: fc.constantFrom('`', '```', '\n', '{', '}', '"', 'a', '1', ' ') }), async (text) => {
      const parsed = await parseOutput(z.object({ a: z.number() }), text)
      assert.ok(!parsed.ok && parsed.issues.startsWith('- '))
    }),
  )
})

test('every issue is a line with its place', async () => {
  const schema = z.strictObject({ name: z.string(), tags: z.array(z.string()).max(1) })
  assert.deepEqual(await parseOutput(schema, '{"name":1,"tags":["a","b"],"more":true}'), {
    ok: false,
    issues: [
      '- `name`: Invalid input: expected string, got `1` (number)',
      '- `tags`: Too big: expected array to have <=1 items, got an array of 2',
      '- Unknown key `more`',
    ].join('\n'),
  })
  assert.deepEqual(await parseOutput(schema, '  '), { ok: false, issues: '- It is empty. Expected one JSON value' })
})

test('many fences are read in a time that grows with the text only', async () => {
  const text = '```\n'.repeat(50_000)
  assert.equal((await parseOutput(z.unknown(), text)).ok, false)
  assert.equal((await parseOutput(z.unknown(), `\`\`\`${' '.repeat(200_000)}`)).ok, false)
})
