import assert from 'node:assert/strict'
import { and, assign, enqueueActions, not, or, raise, setup, stateIn } from 'xstate'
import { advance, type ConformanceCase, send } from '../case.ts'

/** Guards, eventless transitions, events that match by pattern, actions that decide. */
export const decisionCases: readonly ConformanceCase[] = [
  {
    name: 'guards combine, look at states and take params',
    machine: () =>
      setup({
        types: {
          context: { age: 0, member: false },
          events: {} as { type: 'AGE'; age: number } | { type: 'JOIN' | 'ENTER' | 'OPEN' },
        },
        guards: {
          isMember: ({ context }) => context.member,
          isOlderThan: ({ context }, params: { years: number }) => context.age > params.years,
        },
      }).createMachine({
        id: 'club',
        context: { age: 15, member: false },
        type: 'parallel',
        states: {
          door: { initial: 'shut', states: { shut: { on: { OPEN: 'open' } }, open: { id: 'open' } } },
          guest: {
            initial: 'outside',
            states: {
              outside: {
                on: {
                  ENTER: [
                    {
                      guard: and([stateIn({ door: 'open' }), 'isMember', { type: 'isOlderThan', params: { years: 17 } }]),
                      target: 'inside',
                    },
                    {
                      guard: and([stateIn('#open'), or(['isMember', not({ type: 'isOlderThan', params: { years: 17 } })])]),
                      target: 'waiting',
                    },
                  ],
                },
              },
              waiting: {
                on: {
                  ENTER: {
                    guard: { type: 'isOlderThan', params: ({ context }) => ({ years: context.member ? 17 : 20 }) },
                    target: 'inside',
                  },
                },
              },
              inside: {},
            },
          },
        },
        on: {
          AGE: { actions: assign({ age: ({ event }) => event.age }) },
          JOIN: { actions: assign({ member: true }) },
        },
      }),
    script: [send('ENTER'), send('OPEN'), send('ENTER'), send('AGE', { age: 19 }), send('ENTER'), send('JOIN'), send('ENTER')],
    expect({ final, snapshots }) {
      const guests = snapshots.map(({ value }) => (value as { guest: string }).guest)
      assert.deepEqual(guests, ['outside', 'outside', 'outside', 'waiting', 'waiting', 'waiting', 'waiting', 'inside'])
      assert.deepEqual(final.context, { age: 19, member: true })
    },
  },
  {
    name: 'eventless transitions cascade until none is enabled',
    machine: () =>
      setup({ types: { context: { score: 0, path: [] as string[] } } }).createMachine({
        id: 'quiz',
        context: { score: 0, path: [] },
        initial: 'playing',
        states: {
          playing: {
            on: {
              POINTS: { actions: assign({ score: ({ context, event }) => context.score + event.points }), target: 'deciding' },
            },
          },
          deciding: {
            entry: assign({ path: ({ context }) => [...context.path, 'deciding'] }),
            always: [
              { guard: ({ context }) => context.score >= 100, target: 'won' },
              { guard: ({ context }) => context.score < 0, target: 'lost' },
              { target: 'again' },
            ],
          },
          again: { always: { actions: assign({ path: ({ context }) => [...context.path, 'again'] }), target: 'playing' } },
          won: { always: 'celebrating' },
          celebrating: {},
          lost: {},
        },
      }),
    script: [send('POINTS', { points: 40 }), send('POINTS', { points: 60 })],
    expect({ final, snapshots }) {
      assert.equal(snapshots[1]?.value, 'playing')
      assert.deepEqual([final.value, final.context], ['celebrating', { score: 100, path: ['deciding', 'again', 'deciding'] }])
    },
  },
  {
    name: 'an eventless transition waits for another region',
    machine: () =>
      setup({ guards: { isFuelled: stateIn({ fuel: 'full' }), isManned: stateIn({ crew: 'aboard' }) } }).createMachine({
        id: 'launch',
        type: 'parallel',
        states: {
          fuel: { initial: 'empty', states: { empty: { on: { FILL: 'full' } }, full: {} } },
          crew: { initial: 'away', states: { away: { on: { BOARD: 'aboard' } }, aboard: {} } },
          rocket: {
            initial: 'waiting',
            states: {
              waiting: { always: { guard: and(['isFuelled', 'isManned']), target: 'launched' } },
              launched: {},
            },
          },
        },
      }),
    script: [send('BOARD'), send('FILL')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[1]?.value, { fuel: 'empty', crew: 'aboard', rocket: 'waiting' })
      assert.deepEqual(final.value, { fuel: 'full', crew: 'aboard', rocket: 'launched' })
    },
  },
  {
    name: 'events are matched by name, by prefix and by wildcard, in this order; forbidden and unknown ones do nothing',
    machine: () => {
      const room = setup({
        types: { context: { seen: [] as string[] } },
        actions: { count: assign({ seen: ({ context }, key: string) => [...context.seen, key] }) },
      })
      const count = (params: string) => ({ type: 'count', params }) as const
      return room.createMachine({
        id: 'matcher',
        context: { seen: [] },
        initial: 'open',
        on: { FORBIDDEN: { actions: count('parent') }, 'mouse.*': { actions: count('mouse of the parent') } },
        states: {
          open: {
            on: {
              FORBIDDEN: undefined,
              'mouse.click': { actions: count('click') },
              'mouse.*': { actions: count('mouse') },
              'key.down.*': { actions: count('key') },
              CLOSE: 'closed',
            },
          },
          closed: { on: { '*': { actions: count('any') }, NAMED: { actions: count('named') } } },
        },
      })
    },
    script: [
      send('FORBIDDEN'),
      send('mouse.click'),
      send('mouse.move.fast'),
      send('key.down.shift'),
      send('key.up'),
      send('UNKNOWN'),
      send('CLOSE'),
      send('NAMED'),
      send('UNKNOWN', { with: { data: [1] } }),
      send('mouse.move'),
    ],
    expect({ final }) {
      assert.deepEqual(final.context, { seen: ['click', 'mouse', 'key', 'named', 'any', 'any'] })
    },
  },
  {
    name: 'raised events are taken before what comes from outside, in order',
    machine: () =>
      setup({ types: { context: { log: [] as string[] } } }).createMachine({
        id: 'raiser',
        context: { log: [] },
        initial: 'a',
        states: {
          a: {
            on: {
              GO: { actions: [raise({ type: 'FIRST' }), raise(({ event }) => ({ type: 'SECOND', n: event.n }))] },
              FIRST: { target: 'b', actions: assign({ log: ({ context }) => [...context.log, 'first in a'] }) },
            },
          },
          b: {
            entry: [assign({ log: ({ context }) => [...context.log, 'b'] }), raise({ type: 'THIRD' })],
            on: {
              SECOND: { actions: assign({ log: ({ context, event }) => [...context.log, `second ${event.n}`] }) },
              THIRD: { target: 'c', actions: assign({ log: ({ context }) => [...context.log, 'third'] }) },
            },
          },
          c: {},
        },
      }),
    script: [send('GO', { n: 7 })],
    expect({ final }) {
      assert.deepEqual([final.value, final.context], ['c', { log: ['first in a', 'b', 'second 7', 'third'] }])
    },
  },
  {
    name: 'enqueued actions decide one after the other on what the earlier ones assigned',
    machine: ({ effects }) =>
      setup({
        types: { context: { count: 0, log: [] as string[] }, emitted: {} as { type: 'counted'; count: number } },
        guards: {
          isOdd: ({ context }) => context.count % 2 === 1,
          isAbove: ({ context }, { n }: { n: number }) => context.count > n,
        },
        actions: { note: (_, params: { text: string }) => effects.push(params.text) },
      }).createMachine({
        id: 'enqueue',
        context: { count: 0, log: [] },
        initial: 'on',
        states: {
          on: {
            on: {
              ADD: {
                actions: enqueueActions(({ context, enqueue, check }) => {
                  enqueue.assign({ count: context.count + 1 })
                  enqueue.emit({ type: 'counted', count: context.count + 1 })
                  enqueue({ type: 'note', params: { text: `was ${context.count}` } })
                  if (check('isOdd')) enqueue.raise({ type: 'ODD' })
                  if (context.count === 3) enqueue.cancel('high')
                  else if (check({ type: 'isAbove', params: { n: 1 } }))
                    enqueue.raise({ type: 'HIGH' }, { delay: 50, id: 'high' })
                }),
              },
              ODD: { actions: assign({ log: ({ context }) => [...context.log, `odd ${context.count}`] }) },
              HIGH: 'off',
            },
          },
          off: {},
        },
      }),
    script: [send('ADD'), send('ADD'), send('ADD'), send('ADD'), advance(50)],
    expect({ final, emitted, effects }) {
      assert.equal(final.value, 'on')
      assert.deepEqual(final.context, { count: 4, log: ['odd 2', 'odd 4'] })
      assert.deepEqual(
        emitted.map(({ count }) => count),
        [1, 2, 3, 4],
      )
      assert.deepEqual(effects, ['was 0', 'was 1', 'was 2', 'was 3'])
    },
  },
  {
    name: 'assigners take params, objects, functions and undefined',
    machine: () =>
      setup({
        types: {
          context: { name: 'nobody' as string | undefined, tags: [] as string[], size: 1 },
          events: {} as { type: 'RENAME'; name: string } | { type: 'TAG'; tags: string[] } | { type: 'CLEAR' | 'GROW' },
        },
        actions: {
          rename: assign({ name: (_, params: { to: string }) => params.to }),
          tag: assign(({ context }, params: { tags: readonly string[] }) => ({ tags: [...context.tags, ...params.tags] })),
        },
      }).createMachine({
        id: 'assigner',
        context: { name: 'nobody', tags: [], size: 1 },
        on: {
          RENAME: {
            actions: [
              { type: 'rename', params: ({ event }) => ({ to: event.name }) },
              { type: 'tag', params: { tags: ['named'] } },
            ],
          },
          TAG: {
            actions: {
              type: 'tag',
              params: ({ event, context }) => ({ tags: event.tags.map((tag) => `${context.name}:${tag}`) }),
            },
          },
          CLEAR: { actions: assign({ name: undefined }) },
          GROW: {
            actions: [assign({ size: ({ context }) => context.size * 2 }), assign({ size: ({ context }) => context.size + 1 })],
          },
        },
      }),
    script: [send('RENAME', { name: 'Ada' }), send('TAG', { tags: ['x', 'y'] }), send('GROW'), send('GROW'), send('CLEAR')],
    expect({ final }) {
      assert.deepEqual(final.context, { name: undefined, tags: ['named', 'Ada:x', 'Ada:y'], size: 7 })
    },
  },
]
