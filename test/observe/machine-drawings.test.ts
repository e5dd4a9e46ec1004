/** Machines as Mermaid and as JSON: what is drawn is what the machine is, and is in the grammar. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { agentMachine } from 'perdure'
import { toMermaid, toStudioJson } from 'perdure/observe'
import type { CrashLife, CrashSubject } from 'perdure/testing'
import { type AnyStateMachine, createMachine, fromPromise, setup } from 'xstate'
import { describeMachine, type StateDescription } from '../../src/runtime/machine-description.ts'
import { listSubjects } from '../campaign/subjects.ts'

const player = setup({
  actors: { load: fromPromise(async () => 1) },
  actions: { note: () => {} },
  guards: { isLoud: () => true },
}).createMachine({
  id: 'player',
  initial: 'loading',
  on: { 'quit "now"; #1': '.over' },
  states: {
    loading: {
      invoke: { src: 'load', id: 'load', onDone: { target: 'playing', actions: 'note' }, onError: 'over' },
      after: { 1000: 'over' },
    },
    playing: {
      type: 'parallel',
      tags: ['busy'],
      description: 'It sounds.',
      states: {
        sound: {
          initial: 'low',
          states: {
            low: { on: { LOUDER: { target: 'high', guard: 'isLoud' } } },
            high: { always: { target: 'low', guard: 'isLoud' }, on: { NOTE: { actions: 'note' } } },
            back: { type: 'history', history: 'deep', target: 'high' },
          },
        },
        light: { entry: 'note', initial: 'on', states: { on: {} } },
      },
      on: { STOP: 'over' },
    },
    over: { type: 'final' },
  },
})

/** What stands in a diagram: a state, the beginning and the end of one that has states, a region's end, an arrow. */
const text = String.raw`(?:[\p{L}\w .,/+*·[\]()-]|#\d+;)+`
const grammar = [
  new RegExp(`^state "${text}" as (s\\d+)( \\{)?$`, 'u'),
  /^\}$/,
  /^--$/,
  new RegExp(`^(?:\\[\\*\\]|s\\d+) --> (?:\\[\\*\\]|s\\d+)(?: : ${text})?$`, 'u'),
]

function assertDiagram(machine: AnyStateMachine): void {
  const [first, ...lines] = toMermaid(machine).trimEnd().split('\n')
  assert.equal(first, 'stateDiagram-v2')
  let depth = 0
  for (const line of lines.map((each) => each.trim())) {
    assert.ok(
      grammar.some((rule) => rule.test(line)),
      `${machine.id}: ${line}`,
    )
    if (line.endsWith('{')) depth++
    if (line === '}') depth--
    assert.ok(depth >= 0)
  }
  assert.equal(depth, 0)
  const declared = new Set(lines.flatMap((line) => / as (s\d+)/.exec(line)?.[1] ?? []))
  for (const line of lines.filter((each) => each.includes(' --> ')))
    for (const [name] of line.matchAll(/\bs\d+\b(?=.* -->| :|$)/g))
      assert.ok(declared.has(name), `${name} is not declared: ${line}`)
  const { root, machines } = describeMachine(machine)
  const count = (state: StateDescription): number => state.states.reduce((sum, child) => sum + count(child), 1)
  const all = count(machines[root] as StateDescription)
  assert.ok(declared.size === all || declared.size === all - 1, 'each state is there once')
}

/** Without the machines that are behind the names of actors. */
const toShape = (machine: AnyStateMachine): unknown => {
  const { root, machines } = describeMachine(machine)
  return JSON.parse(JSON.stringify(machines[root], (key, value) => (key === 'machine' ? undefined : value)))
}

async function findMachines(url: string): Promise<readonly AnyStateMachine[]> {
  const { subject }: { subject: CrashSubject } = await import(url)
  const found: AnyStateMachine[] = []
  const life = {
    async open({ machines = [] }: { machines?: readonly (AnyStateMachine | { machine: AnyStateMachine })[] } = {}) {
      found.push(...machines.map((entry) => ('machine' in entry ? entry.machine : entry)))
      throw new Error('Nothing is run here')
    },
  }
  await subject(life as unknown as CrashLife).catch(() => {}) // as far as it goes
  return found
}

describe('toMermaid', () => {
  test('draws nested, parallel, final and history states, invocations, delays, guards and actions', () => {
    assert.equal(
      toMermaid(player),
      `stateDiagram-v2
  state "player" as s0 {
    state "loading · do / load" as s1
    state "playing" as s2 {
      state "sound" as s3 {
        state "low" as s4
        state "high" as s5
        state "H* back" as s6
        [*] --> s4
        s4 --> s5 : LOUDER [isLoud]
        s5 --> s5 : NOTE / note
        s5 --> s4 : [isLoud]
      }
      --
      state "light" as s7 {
        state "on" as s8
        [*] --> s8
      }
    }
    state "over" as s9
    [*] --> s1
    s1 --> s2 : done load / note
    s1 --> s9 : error load
    s1 --> s9 : after 1000
    s2 --> s9 : STOP
    s9 --> [*]
  }
  [*] --> s0
  s0 --> s9 : quit #34;now#34;#59; #35;1
`,
    )
  })

  test('draws a machine of one state', () => {
    assert.equal(toMermaid(createMachine({ id: 'one' })), 'stateDiagram-v2\n  state "one" as s0\n  [*] --> s0\n')
  })
})

describe('toStudioJson', () => {
  test('is data of which createMachine makes the same machine', () => {
    const json = JSON.parse(JSON.stringify(toStudioJson(player)))
    assert.deepEqual(toShape(createMachine(json)), toShape(player))
    assert.deepEqual(json.states.playing.states.sound.states.back, { type: 'history', history: 'deep', target: 'high' })
    assert.deepEqual(json.states.playing.states.light.entry, ['note'])
    assert.equal(json.states.playing.description, 'It sounds.')
  })
})

test('every machine of the campaign, and the agent’s, can be drawn and exported', async () => {
  const machines: AnyStateMachine[] = [agentMachine]
  for (const { kind, url } of listSubjects()) if (kind === 'machines') machines.push(...(await findMachines(url)))
  assert.ok(machines.length > 30, `there are only ${machines.length}`)
  for (const machine of machines) {
    assertDiagram(machine)
    const json = JSON.parse(JSON.stringify(toStudioJson(machine)))
    assert.deepEqual(toShape(createMachine(json)), toShape(machine), machine.id)
  }
})
