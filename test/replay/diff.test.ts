/** Two runs compared: what belongs together, what of it is another, and the picture of that. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Script, scriptedModel } from 'perdure/testing'
import { toWidth } from '../../src/observe/text-width.ts'
import { align } from '../../src/replay/align.ts'
import { diffRuns } from '../../src/replay/diff-runs.ts'
import { formatDiff } from '../../src/replay/format-diff.ts'
import { addTool, record } from '../support/recorded-run.ts'
import { lastPrompt, testAgent } from '../support/runtime-room.ts'

/** Adds `a` and 2 when it is asked to, then says what came of it. */
const adding =
  (a: number, said = 'It is'): Script =>
  ({ messages }) => {
    const last = messages.at(-1)
    if (last?.role === 'tool') return { text: `${said} ${last.content}.` }
    return lastPrompt({ messages }).startsWith('add') ? { toolCalls: [{ name: 'add', arguments: { a, b: 2 } }] } : 'Fine.'
  }

const talk = (prompts: readonly string[], script: Script, profile = {}) =>
  record('default/main', async (runtime) => {
    const session = runtime.durable(testAgent(scriptedModel(script), profile, [addTool().add])).session('main')
    for (const prompt of prompts) await session.run(prompt)
  })

const story = (notes: readonly string[], input: string, output = 'done') =>
  record('run', async (runtime) => {
    const agent = runtime.durable(testAgent(scriptedModel(adding(1)), {}, [addTool().add]))
    const flow = runtime.flow('story', async (_: string, steps) => {
      for (const note of notes) await steps.step(note, () => `${note}!`)
      await agent.run(`say ${notes.length > 2 ? 'much' : 'little'}`)
      return output
    })
    await flow.run(input, { id: 'run' })
  })

describe('a diff', () => {
  test('of a run with itself, and with one that did the same later, is the same', async () => {
    const [one, other] = [await talk(['hello', 'add'], adding(1)), await talk(['hello', 'add'], adding(1))]
    for (const b of [one, other]) {
      const diff = diffRuns(one, b)
      assert.equal(diff.change, 'same')
      assert.deepEqual(
        diff.turns.map(({ change, changed, calls }) => [change, changed, calls.map((call) => call.change)]),
        [
          ['same', [], ['same']],
          ['same', [], ['same', 'same', 'same']],
        ],
      )
      assert.match(formatDiff(diff), /The same, but for what they cost and when they were\.\n {4}2 turns the same\n$/)
    }
  })

  test('puts a turn that was put in between in its place, and says what of the others changed', async () => {
    const before = await talk(['hello', 'add', 'bye'], adding(1))
    const after = await talk(['hello', 'wait', 'add', 'bye'], adding(5), { systemPrompt: 'Be long.' })
    const diff = diffRuns(before, after)
    assert.equal(diff.change, 'changed')
    assert.deepEqual(
      diff.turns.map(({ change, changed, a, b }) => ({ change, changed, turns: [a?.turn, b?.turn] })),
      [
        { change: 'changed', changed: ['system prompt'], turns: [1, 1] },
        { change: 'added', changed: [], turns: [undefined, 2] },
        { change: 'changed', changed: ['system prompt', 'result'], turns: [2, 3] },
        { change: 'changed', changed: ['system prompt'], turns: [3, 4] },
      ],
    )
    assert.deepEqual(
      diff.turns[2]?.calls.map(({ change, changed, a, b }) => ({ change, changed, a: a?.result, b: b?.result })),
      [
        { change: 'changed', changed: ['result'], a: 'add({"a":1,"b":2})', b: 'add({"a":5,"b":2})' },
        { change: 'changed', changed: ['arguments', 'result'], a: '3', b: '7' },
        { change: 'changed', changed: ['result'], a: 'It is 3.', b: 'It is 7.' },
      ],
    )
    assert.deepEqual(JSON.parse(JSON.stringify(diff)).turns[1].b.prompt, 'wait')
  })

  test('of flows has their steps by name, their input and output, and the runs within them', async () => {
    const diff = diffRuns(await story(['a', 'b'], 'text'), await story(['a', 'c', 'b'], 'texts', 'all done'))
    assert.deepEqual(diff.changed, ['input', 'result'])
    assert.deepEqual(
      diff.steps.map(({ change, b, a }) => `${change} ${(b ?? a)?.key}`),
      ['same step/a', 'same step/b', 'added step/c'],
    )
    assert.deepEqual(
      diff.within.map(({ change, a, turns }) => [change, a?.id, turns.map(({ changed }) => changed)]),
      [['changed', 'run/default', [['prompt']]]],
    )
    assert.equal(diff.a?.spend.modelCalls, 0)
    assert.equal(diff.within[0]?.a?.spend.modelCalls, 1)
  })

  test('of unrelated runs is that one went and the other came', async () => {
    const diff = diffRuns(await talk(['hello'], adding(1)), await story(['a'], 'text'))
    assert.deepEqual(diff.changed, ['kind', 'name', 'input', 'result'])
    assert.deepEqual([diff.turns.map(({ change }) => change), diff.steps.map(({ change }) => change)], [['removed'], ['added']])
    assert.deepEqual(
      diff.within.map(({ change, a, b }) => [change, a?.id, b?.id]),
      [['added', undefined, 'run/default']],
    )
    const text = formatDiff(diff)
    assert.match(text, /^- default\/main {2}agent default · completed · 1 turn · 1 model call/m)
    assert.match(text, /^\+ run {2}flow story · completed · 1 model call/m)
  })
})

describe('the picture of a diff', () => {
  const draw = async (options: Parameters<typeof formatDiff>[1]) => {
    const before = await talk(['hello', 'add', 'bye'], adding(1))
    return formatDiff(diffRuns(before, await talk(['hello', 'add it', 'bye'], adding(5, 'Well,\u001b[31m that is'))), options)
  }

  test('shows what it was and what it is', async () => {
    const lines = (await draw({ width: 200 })).split('\n').map((line) => line.replace(/ · .*$/, '').replace(/\d+ ms/, '? ms'))
    assert.deepEqual(lines.slice(2), [
      '    1 turn the same',
      '  ~ turn 2  prompt, result',
      '    - prompt  add',
      '    + prompt  add it',
      '    ~ model test-model  result',
      '      - add({"a":1,"b":2})',
      '      + add({"a":5,"b":2})',
      '    ~ tool add  arguments, result',
      '      - arguments  {"a":1,"b":2}',
      '      + arguments  {"a":5,"b":2}',
      '      - result  3',
      '      + result  7',
      '    ~ model test-model  result',
      '      - It is 3.',
      '      + Well, that is 7.',
      '    - result  It is 3.',
      '    + result  Well, that is 7.',
      '    1 turn the same',
      '',
    ])
  })

  test('has no line that is wider, and colours only if it is told', async () => {
    const narrow = await draw({ width: 30 })
    for (const line of narrow.split('\n')) assert.ok(toWidth(line) <= 30, line)
    assert.ok(!narrow.includes('\u001b'))
    assert.ok((await draw({ color: true })).includes('\u001b[31m'))
  })

  test('shows long texts where they part', async () => {
    const long = 'x'.repeat(5_000)
    const diff = diffRuns(await story(['a'], `${long} once`), await story(['a'], `${long} twice`))
    assert.match(formatDiff(diff), /- input {2}…x{11} once\n +\+ input {2}…x{11} twice\n/)
  })
})

test('what is put together keeps its order, is alike, and is as much as can be', () => {
  const items = fc.array(
    fc.constantFrom('a', 'b', 'c', 'd').map((name) => ({ name })),
    { maxLength: 8 },
  )
  type Item = { readonly name: string }
  const like = (x: Item, y: Item): number => (x.name === y.name ? 1 : 0)
  const most = ([x, ...xs]: readonly Item[], [y, ...ys]: readonly Item[]): number => {
    if (x === undefined || y === undefined) return 0
    return Math.max(like(x, y) + (like(x, y) === 0 ? -1 : most(xs, ys)), most([x, ...xs], ys), most(xs, [y, ...ys]))
  }
  fc.assert(
    fc.property(items, items, (a, b) => {
      const aligned = align(a, b, like, 1)
      assert.deepEqual(
        aligned.flatMap((pair) => pair.a ?? []),
        a,
      )
      assert.deepEqual(
        aligned.flatMap((pair) => pair.b ?? []),
        b,
      )
      const pairs = aligned.filter((pair) => pair.a !== undefined && pair.b !== undefined)
      assert.ok(pairs.every((pair) => pair.a?.name === pair.b?.name))
      assert.equal(pairs.length, most(a, b))
    }),
  )
})

test('two runs of thousands of turns are compared in their order', () => {
  const many = (name: string) => Array.from({ length: 20_000 }, (_, at) => ({ name: `${name}${at}` }))
  const started = performance.now()
  const aligned = align(many('a'), many('b'), () => 1, 4)
  assert.equal(aligned.length, 20_000)
  assert.ok(performance.now() - started < 2_000)
})
