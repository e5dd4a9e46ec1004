import assert from 'node:assert/strict'
import { assign, setup } from 'xstate'
import { type ConformanceCase, send } from '../case.ts'

export const historyCases: readonly ConformanceCase[] = [
  {
    name: 'shallow history returns to the child that was active, and begins anew inside of it',
    machine: () =>
      setup({}).createMachine({
        id: 'player',
        initial: 'off',
        states: {
          off: { on: { POWER: 'on.hist' } },
          on: {
            initial: 'radio',
            states: {
              radio: { on: { CD: 'cd' } },
              cd: { initial: 'stopped', states: { stopped: { on: { PLAY: 'playing' } }, playing: {} } },
              hist: { type: 'history' },
            },
            on: { POWER: 'off' },
          },
        },
      }),
    script: [send('POWER'), send('CD'), send('PLAY'), send('POWER'), send('POWER')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[1]?.value, { on: 'radio' })
      assert.deepEqual(snapshots[4]?.value, 'off')
      assert.deepEqual(final.value, { on: { cd: 'stopped' } })
      assert.deepEqual(final.history, { 'player.on.hist': ['player.on.cd'] })
    },
  },
  {
    name: 'deep history returns to the innermost states of all regions',
    machine: () =>
      setup({}).createMachine({
        id: 'game',
        initial: 'playing',
        states: {
          playing: {
            type: 'parallel',
            states: {
              room: {
                initial: 'hall',
                states: {
                  hall: { on: { CELLAR: 'cellar' } },
                  cellar: { initial: 'dark', states: { dark: { on: { LAMP: 'lit' } }, lit: {} } },
                },
              },
              mood: { initial: 'calm', states: { calm: { on: { GHOST: 'afraid' } }, afraid: {} } },
              remembered: { type: 'history', history: 'deep' },
            },
            on: { PAUSE: 'paused' },
          },
          paused: { on: { RESUME: 'playing.remembered', RESTART: 'playing' } },
        },
      }),
    script: [send('CELLAR'), send('LAMP'), send('GHOST'), send('PAUSE'), send('RESUME')],
    expect({ final, snapshots }) {
      assert.equal(snapshots[4]?.value, 'paused')
      assert.deepEqual(final.value, { playing: { room: { cellar: 'lit' }, mood: 'afraid' } })
    },
  },
  {
    name: 'history that remembers nothing goes to its default, and later overrides it',
    machine: () =>
      setup({ types: { context: { visits: 0 } } }).createMachine({
        id: 'wizard',
        context: { visits: 0 },
        initial: 'closed',
        states: {
          closed: { on: { OPEN: 'open.last' } },
          open: {
            entry: assign({ visits: ({ context }) => context.visits + 1 }),
            initial: 'first',
            states: {
              first: { on: { NEXT: 'second' } },
              second: { on: { NEXT: 'third' } },
              third: {},
              last: { type: 'history', history: 'shallow', target: 'second' },
            },
            on: { CLOSE: 'closed' },
          },
        },
      }),
    script: [send('OPEN'), send('NEXT'), send('CLOSE'), send('OPEN'), send('CLOSE'), send('OPEN')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[1]?.value, { open: 'second' })
      assert.deepEqual(snapshots[4]?.value, { open: 'third' })
      assert.deepEqual([final.value, final.context], [{ open: 'third' }, { visits: 3 }])
    },
  },
  {
    name: 'nested history states remember each for itself',
    machine: () =>
      setup({}).createMachine({
        id: 'nest',
        initial: 'a',
        states: {
          a: {
            initial: 'b',
            states: {
              b: { initial: 'c', states: { c: { on: { GO: 'd' } }, d: {}, inner: { type: 'history' } }, on: { NEXT: 'e' } },
              e: { on: { BACK: 'b.inner' } },
              outer: { type: 'history', history: 'deep' },
            },
            on: { LEAVE: 'out' },
          },
          out: { on: { BACK: 'a.outer' } },
        },
      }),
    script: [send('GO'), send('NEXT'), send('LEAVE'), send('BACK'), send('BACK')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[4]?.value, { a: 'e' })
      assert.deepEqual(final.value, { a: { b: 'd' } })
    },
  },
]
