import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { boundText } from '../../src/actors/bounded-output.ts'
import { type Tool, type ToolContext, type ToolDefinition, tool } from '../../src/actors/tool.ts'
import { isPerdureError, PerdureError } from '../../src/errors.ts'

const context = (signal = new AbortController().signal): ToolContext => ({
  signal,
  key: 'run/turn/call',
  attempt: 1,
  callId: 'call',
  runId: 'run',
  progress: () => {},
})

const base = { name: 'probe', description: 'Probes.', input: z.object({}) }

/** A tool that returns the value that it was made with. */
const returning = (value: unknown, maxResultBytes?: number): Tool => tool({ ...base, run: () => value, maxResultBytes })

const throwing = (error: unknown): Tool =>
  tool({
    ...base,
    run: () => {
      throw error
    },
  })

const run = (subject: Tool, text = '{}') => subject.execute(text, context())

test('a tool runs with its checked input and its context, and its text is the result', async () => {
  const add = tool({
    name: 'add',
    description: 'Adds.',
    input: z.object({ a: z.number(), b: z.coerce.number().default(2) }),
    run: async ({ a, b }, { key, attempt, callId }) => `${a + b} ${key} ${attempt} ${callId}`,
  })
  assert.deepEqual(await run(add, '{"a":1}'), { content: '3 run/turn/call 1 call', isError: false })
})

test('the parameters are plain JSON Schema of what goes in', () => {
  const subject = tool({
    ...base,
    input: z.strictObject({ n: z.int().min(1).max(5).default(3).describe('How many') }).transform(({ n }) => String(n)),
    run: (text) => text.toUpperCase(),
  })
  assert.deepEqual(subject.parameters, {
    type: 'object',
    properties: { n: { default: 3, description: 'How many', type: 'integer', minimum: 1, maximum: 5 } },
    additionalProperties: false,
  })
  assert.deepEqual(structuredClone(subject.parameters), subject.parameters)
})

for (const text of ['', '  \n']) {
  test(`empty arguments mean an empty object: ${JSON.stringify(text)}`, async () => {
    assert.deepEqual(await run(returning('fine'), text), { content: 'fine', isError: false })
  })
}

test('arguments that are not JSON are an error result', async () => {
  const { content, isError } = await run(returning('never'), '{"a":')
  assert.equal(isError, true)
  assert.match(content, /^The arguments of `probe` are not usable JSON: .+ Call it again with one JSON object\.$/)
})

test('arguments that do not fit are an error result with the path of every issue', async () => {
  const subject = tool({
    ...base,
    input: z.object({ list: z.array(z.object({ n: z.number() })), id: z.union([z.string(), z.number()]) }),
    run: () => 'never',
  })
  assert.deepEqual(await run(subject, '{"list":[{"n":1},{"n":"2"}],"id":null}'), {
    content: [
      'The arguments of `probe` do not fit:',
      '- `list[1].n`: Invalid input: expected number, got `2` (string)',
      '- `id`: Invalid input: expected string, or Invalid input: expected number, got `null`',
    ].join('\n'),
    isError: true,
  })
})

test('arguments nested deeper than the stack are an error result', async () => {
  const subject = tool({ ...base, input: z.object({ a: z.any() }), run: () => 'ran' })
  const { isError } = await run(subject, `{"a":${'['.repeat(200_000)}${']'.repeat(200_000)}}`)
  assert.equal(isError, true)
})

for (const text of ['{"__proto__":{"admin":true}}', '{"a":[{"__proto__":{"admin":true}}]}', '{"\\u005f_proto__":{}}']) {
  test(`a key that would change a prototype is refused: ${text}`, async () => {
    const subject = tool({ ...base, input: z.looseObject({ a: z.any().optional() }), run: (input) => input })
    const { content, isError } = await run(subject, text)
    assert.equal(isError, true)
    assert.match(content, /the key `__proto__` is not allowed/)
    assert.equal('admin' in {}, false)
  })
}

test('a schema that is asynchronous is waited for, and one that throws is an error result', async () => {
  const asynchronous = tool({
    ...base,
    input: z.object({ a: z.string().refine(async (a) => a === 'x', 'Expected x') }),
    run: () => 'ran',
  })
  assert.deepEqual(await run(asynchronous, '{"a":"x"}'), { content: 'ran', isError: false })
  assert.deepEqual(await run(asynchronous, '{"a":"y"}'), {
    content: 'The arguments of `probe` do not fit:\n- `a`: Expected x',
    isError: true,
  })
  const broken = tool({
    ...base,
    input: z.object({}).refine(() => {
      throw new Error('the schema is broken')
    }),
    run: () => 'never',
  })
  assert.deepEqual(await run(broken), {
    content: 'The arguments of `probe` could not be checked: the schema is broken',
    isError: true,
  })
})

const thrown: readonly (readonly [title: string, error: unknown, content: string])[] = [
  ['an error', new Error('disk full'), 'Tool `probe` failed: disk full'],
  [
    'an error with a cause',
    new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') }),
    'Tool `probe` failed: fetch failed (ECONNREFUSED)',
  ],
  ['an error without a message', new RangeError(), 'Tool `probe` failed: RangeError'],
  ['a string', 'no', 'Tool `probe` failed: no'],
  ['nothing', undefined, 'Tool `probe` failed: undefined'],
  ['an empty string', '', 'Tool `probe` failed: it did not say why'],
  ['an object without a prototype', Object.assign(Object.create(null), { a: 1 }), 'Tool `probe` failed: {"a":1}'],
  [
    'an object that cannot be shown',
    {
      toJSON: () => {
        throw new Error('no')
      },
    },
    'Tool `probe` failed: it threw a value that cannot be shown',
  ],
  ['an ABORTED of its own while the call is not aborted', new PerdureError('ABORTED', 'inner'), 'Tool `probe` failed: inner'],
]

for (const [title, error, content] of thrown) {
  test(`a tool that throws ${title} has an error result`, async () => {
    assert.deepEqual(await run(throwing(error)), { content, isError: true })
    const rejecting = tool({ ...base, run: () => Promise.reject(error) })
    assert.deepEqual(await run(rejecting), { content, isError: true })
  })
}

const cyclic: Record<string, unknown> = {}
cyclic.self = cyclic

const returned: readonly (readonly [title: string, value: unknown, content: string])[] = [
  ['a string', 'as it is\n', 'as it is\n'],
  ['an empty string', '', ''],
  ['nothing', undefined, 'done'],
  ['null', null, 'null'],
  ['a number', 7, '7'],
  ['an object', { a: [1] }, '{"a":[1]}'],
  ['a date', new Date(0), '"1970-01-01T00:00:00.000Z"'],
  ['half a surrogate pair', 'a\ud800', 'a\ufffd'],
]

for (const [title, value, content] of returned) {
  test(`a tool may return ${title}`, async () => {
    assert.deepEqual(await run(returning(value)), { content, isError: false })
  })
}

for (const [title, value] of [
  ['a bigint', 7n],
  ['a cycle', cyclic],
  ['a function', () => 1],
  ['a symbol', Symbol('s')],
  [
    'an object whose toJSON throws',
    {
      toJSON: () => {
        throw new Error('no')
      },
    },
  ],
] as const) {
  test(`a tool that returns ${title} has an error result that says that it ran`, async () => {
    const { content, isError } = await run(returning(value))
    assert.equal(isError, true)
    assert.match(content, /^Tool `probe` ran to its end, but its result cannot be shown as JSON: ./)
  })
}

test('a result longer than the limit keeps its beginning and its end and says what was cut', async () => {
  const { content } = await run(returning(`begin${'x'.repeat(1000)}end`, 20))
  assert.equal(content, 'beginxxxxx\n[… 988 of 1008 bytes cut …]\nxxxxxxxend')
})

test('a result is at most 256 KiB when the tool does not say, errors too', async () => {
  const long = 'x'.repeat(1_000_000)
  for (const subject of [returning(long), returning({ long }), throwing(new Error(long))]) {
    const { content } = await run(subject)
    assert.ok(content.length < 256 * 1024 + 60, String(content.length))
    assert.match(content, /bytes cut …\]/)
  }
})

test('a cut never splits a character, and the number of cut bytes is exact', () => {
  const text = 'aé€😀'.repeat(50)
  const bytes = Buffer.byteLength(text)
  for (let limit = 1; limit < bytes; limit++) {
    const bounded = boundText(text, limit)
    const [, head, cut, total, tail] = /^(.*)\n\[… (\d+) of (\d+) bytes cut …\]\n(.*)$/s.exec(bounded) ?? []
    assert.ok(head !== undefined && tail !== undefined, bounded)
    assert.doesNotMatch(bounded, /\ufffd/)
    assert.ok(text.startsWith(head) && text.endsWith(tail))
    assert.equal(Number(total), bytes)
    assert.equal(Buffer.byteLength(head) + Number(cut) + Buffer.byteLength(tail), bytes)
    assert.ok(Buffer.byteLength(head) + Buffer.byteLength(tail) > limit - 7)
  }
  assert.equal(boundText(text, bytes), text)
})

test('a call that is aborted before it starts throws ABORTED and does not run', async () => {
  let ran = false
  const subject = tool({
    ...base,
    run: () => {
      ran = true
    },
  })
  await assert.rejects(subject.execute('{}', context(AbortSignal.abort())), (error) => isPerdureError(error, 'ABORTED'))
  assert.equal(ran, false)
})

test('a call that throws after its abort throws ABORTED with what it threw', async () => {
  const controller = new AbortController()
  const inner = new Error('stopped')
  const subject = tool({
    ...base,
    run: async (_, { signal }) => {
      controller.abort()
      assert.equal(signal.aborted, true)
      throw inner
    },
  })
  await assert.rejects(
    subject.execute('{}', context(controller.signal)),
    (error) => isPerdureError(error, 'ABORTED') && error.cause === inner,
  )
})

test('a result that comes in spite of an abort is kept', async () => {
  const controller = new AbortController()
  const subject = tool({
    ...base,
    run: () => {
      controller.abort()
      return 'paid'
    },
  })
  assert.deepEqual(await subject.execute('{}', context(controller.signal)), { content: 'paid', isError: false })
})

const wrong: readonly (readonly [title: string, change: Record<string, unknown>, message: RegExp])[] = [
  ['an empty name', { name: '' }, /^Expected `name` to be 1 to 64 letters, digits, `_` or `-`, got `` \(string\)$/],
  ['a name with a dot', { name: 'a.b' }, /got `a\.b` \(string\)$/],
  ['a name of 65 letters', { name: 'x'.repeat(65) }, /^Expected `name` to be/],
  ['a name with a line feed at its end', { name: 'a\n' }, /^Expected `name` to be .+ got `a\\n`/],
  ['no name', { name: undefined }, /^Expected `name` to be .+ got nothing$/],
  ['no description', { description: undefined }, /^Expected `description` to be a string, got nothing$/],
  ['no function', { run: 'ls' }, /^Expected `run` to be a function, got `ls` \(string\)$/],
  ['no room for a result', { maxResultBytes: 0 }, /^Expected `maxResultBytes` to be an integer ≥ 1, got `0` \(number\)$/],
  ['plain JSON Schema', { input: { type: 'object' } }, /^Expected `input` to be a zod schema of an object, got an object$/],
  [
    'a schema of a string',
    { input: z.string() },
    /^Expected `input` to be a zod schema of an object, got a schema of type `string`$/,
  ],
  ['a schema of a union', { input: z.union([z.object({}), z.string()]) }, /, got another schema$/],
  [
    'a schema that JSON cannot express',
    { input: z.object({ at: z.date() }) },
    /that JSON Schema can express: Date cannot be represented/,
  ],
]

for (const [title, change, message] of wrong) {
  test(`a definition with ${title} is a TypeError`, () => {
    // The type forbids what the check must catch.
    const definition = { ...base, run: () => 'never', ...change } as ToolDefinition<z.ZodType>
    assert.throws(
      () => tool(definition),
      (error) => error instanceof TypeError && message.test(error.message),
    )
  })
}

test('the input of a tool has the type of its schema', () => {
  const subject: Tool = tool({
    ...base,
    input: z.object({ n: z.string().transform(Number), flag: z.boolean().optional() }),
    run: ({ n, flag }) => {
      const number: number = n
      // @ts-expect-error: it was transformed to a number
      const text: string = n
      // @ts-expect-error: it may be missing
      const sure: boolean = flag
      return [number, text, sure]
    },
  })
  assert.equal(subject.name, 'probe')
  // @ts-expect-error: a tool needs a function
  assert.throws(() => tool(base), TypeError)
})
