import assert from 'node:assert/strict'
import { assign, emit, raise, setup } from 'xstate'
import { advance, type ConformanceCase, send } from '../case.ts'

/** What contexts, inputs, events and outputs may hold, and events for those outside. */
export const valueCases: readonly ConformanceCase[] = [
  {
    name: 'a context may hold every value that JavaScript has a literal or a built-in class for',
    machine: () =>
      setup({ types: { context: {} as Record<string, unknown> } }).createMachine({
        id: 'values',
        context: {
          date: new Date(0),
          map: new Map<unknown, unknown>([['a', 1]]),
          set: new Set([1]),
          big: 2n ** 70n,
          error: new RangeError('too far'),
          bytes: new Uint8Array([1, 2, 3]),
          floats: new Float64Array([0.5, Number.NaN]),
          missing: undefined,
          nothing: null,
          strange: [Number.NaN, Number.POSITIVE_INFINITY, -0],
          nested: [[1, [2, [3, []]]], [], [{}]],
          pattern: /a+/gi,
        },
        on: {
          CHANGE: {
            actions: assign({
              date: ({ event }) => event.date,
              map: ({ context }) => new Map([...(context.map as Map<unknown, unknown>), [{ key: 1 }, new Set(['x'])]]),
              set: ({ context }) => new Set([...(context.set as Set<number>), 2]),
              big: ({ context }) => (context.big as bigint) * -1n,
              bytes: ({ context }) => new Uint8Array([...(context.bytes as Uint8Array), 4]),
              nested: ({ context }) => [...(context.nested as unknown[]), [undefined]],
              error: ({ event }) => new Error('wrapped', { cause: event.cause }),
            }),
          },
          REMOVE: { actions: assign({ map: undefined }) },
        },
      }),
    script: [send('CHANGE', { date: new Date(86_400_000), cause: new TypeError('inner') }), send('REMOVE')],
    expect({ final, snapshots }) {
      const context = final.context as Record<string, unknown>
      assert.deepEqual(
        (snapshots[1]?.context as Record<string, unknown> | undefined)?.map,
        new Map<unknown, unknown>([
          ['a', 1],
          [{ key: 1 }, new Set(['x'])],
        ]),
      )
      assert.deepEqual(
        [context.date, context.big, context.bytes, context.nested],
        [new Date(86_400_000), -(2n ** 70n), new Uint8Array([1, 2, 3, 4]), [[1, [2, [3, []]]], [], [{}], [undefined]]],
      )
      assert.ok('map' in context && context.map === undefined && 'missing' in context)
      assert.deepEqual(context.error, new Error('wrapped', { cause: new TypeError('inner') }))
      assert.ok(Object.is((context.strange as number[])[2], -0))
    },
  },
  {
    name: 'input and output are values of any kind',
    machine: () =>
      setup({ types: { context: {} as { since: Date; tags: Set<string> } } }).createMachine({
        id: 'echo',
        context: ({ input }) => {
          const { since, tags } = input as { since: Date; tags: Set<string> }
          return { since, tags }
        },
        initial: 'open',
        states: { open: { on: { CLOSE: 'closed' } }, closed: { type: 'final', output: ({ event }) => event.amounts } },
        output: ({ context, event }) => ({ ...context, amounts: event.output, none: undefined }),
      }),
    input: { since: new Date(5), tags: new Set(['a', 'b']) },
    script: [send('CLOSE', { amounts: new Map([['total', 12n]]) })],
    expect({ output }) {
      assert.deepEqual(output, {
        since: new Date(5),
        tags: new Set(['a', 'b']),
        amounts: new Map([['total', 12n]]),
        none: undefined,
      })
    },
  },
  {
    name: 'a context that is mutated by nobody keeps what did not change',
    machine: () =>
      setup({
        types: {
          context: { lines: [] as { n: number; words: string[] }[], index: {} as Record<string, number>, shared: { deep: [1] } },
        },
      }).createMachine({
        id: 'document',
        context: { lines: [], index: {}, shared: { deep: [1] } },
        on: {
          APPEND: {
            actions: assign(({ context, event }) => ({
              lines: [...context.lines, { n: context.lines.length, words: event.text.split(' ') }],
              index: { ...context.index, [event.text]: context.lines.length },
            })),
          },
          EDIT: {
            actions: assign({
              lines: ({ context, event }) =>
                context.lines.map((line) => (line.n === event.n ? { ...line, words: [...line.words, '!'] } : line)),
            }),
          },
          INSERT: { actions: assign({ lines: ({ context }) => [{ n: -1, words: [] }, ...context.lines] }) },
          CUT: { actions: assign({ lines: ({ context, event }) => context.lines.slice(event.from, event.to), index: {} }) },
          SHARE: {
            actions: assign({
              index: ({ context }) => ({
                ...context.index,
                same: context.shared as unknown as number,
                again: context.shared as unknown as number,
              }),
            }),
          },
        },
      }),
    script: [
      send('APPEND', { text: 'to be' }),
      send('APPEND', { text: 'or not' }),
      send('EDIT', { n: 1 }),
      send('INSERT'),
      send('SHARE'),
      send('CUT', { from: 0, to: 2 }),
      send('APPEND', { text: '__proto__' }),
    ],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[5]?.context, {
        lines: [
          { n: -1, words: [] },
          { n: 0, words: ['to', 'be'] },
          { n: 1, words: ['or', 'not', '!'] },
        ],
        index: { 'to be': 0, 'or not': 1, same: { deep: [1] }, again: { deep: [1] } },
        shared: { deep: [1] },
      })
      assert.deepEqual((final.context as { lines: unknown[] }).lines.length, 3)
    },
  },
  {
    name: 'emitted events are heard in order, from the first state on',
    machine: () =>
      setup({
        types: { context: { n: 0 }, emitted: {} as { type: 'entered' | 'left' | 'counted' | 'late'; n?: number } },
        actions: { count: emit(({ context }) => ({ type: 'counted', n: context.n })) },
      }).createMachine({
        id: 'emitter',
        context: { n: 0 },
        initial: 'a',
        states: {
          a: {
            entry: emit({ type: 'entered', n: 0 }),
            exit: emit({ type: 'left' }),
            on: {
              COUNT: {
                actions: [
                  assign({ n: ({ context }) => context.n + 1 }),
                  'count',
                  assign({ n: ({ context }) => context.n + 1 }),
                  'count',
                ],
              },
              GO: 'b',
            },
            after: { 1000: { actions: emit({ type: 'late' }) } },
          },
          b: { entry: [emit({ type: 'entered', n: 1 }), raise({ type: 'NEXT' })], on: { NEXT: 'c' } },
          c: { type: 'final', entry: emit({ type: 'entered', n: 2 }) },
        },
      }),
    script: [send('COUNT'), advance(1_000), send('COUNT'), send('GO')],
    expect({ emitted, final }) {
      assert.equal(final.status, 'done')
      assert.deepEqual(
        emitted.map(({ type, n }) => [type, n]),
        [
          ['entered', 0],
          ['counted', 1],
          ['counted', 2],
          ['late', undefined],
          ['counted', 3],
          ['counted', 4],
          ['left', undefined],
          ['entered', 1],
          ['entered', 2],
        ],
      )
    },
  },
  {
    name: 'events carry values of any kind',
    machine: () =>
      setup({ types: { context: { last: undefined as unknown, kinds: [] as string[] } } }).createMachine({
        id: 'carrier',
        context: { last: undefined, kinds: [] },
        on: {
          '*': {
            actions: [
              assign({
                last: ({ event }) => event.value,
                kinds: ({ context, event }) => [...context.kinds, Object.prototype.toString.call(event.value)],
              }),
              raise({ type: 'AGAIN', value: 1n }, { delay: 10, id: 'again' }),
            ],
          },
          AGAIN: {},
        },
      }),
    script: [
      send('A', { value: new Error('boom', { cause: { code: 7 } }) }),
      send('B', { value: new Map([[new Date(1), [1n, undefined]]]) }),
      send('C', { value: undefined }),
      send('D', { value: new Uint16Array([1, 65_535]) }),
      advance(10),
    ],
    expect({ final }) {
      assert.deepEqual(final.context, {
        last: new Uint16Array([1, 65_535]),
        kinds: ['[object Error]', '[object Map]', '[object Undefined]', '[object Uint16Array]'],
      })
    },
  },
]
