import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { openRuntime, type Runtime } from 'perdure'
import { type AnyActorRef, assign, setup, spawnChild } from 'xstate'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => rm(room.root, { recursive: true, force: true }))

const open = (directory: string, machines: Parameters<typeof openRuntime>[0]['machines']): Promise<Runtime> =>
  openRuntime({ directory, machines: machines ?? [], log: 'silent', durability: 'process' })

const createChild = () =>
  setup({ types: { context: {} as { readonly n: number }, input: {} as number } }).createMachine({
    id: 'child',
    context: ({ input }) => ({ n: input }),
    on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
  })

const createParent = () =>
  setup({
    types: {
      context: {} as { readonly refs: readonly AnyActorRef[] },
      events: {} as { type: 'spawn' } | { type: 'add'; to: number },
    },
    actors: { child: createChild() },
  }).createMachine({
    id: 'parent',
    context: ({ spawn }) => ({ refs: [spawn('child', { input: 0 })] }),
    on: {
      spawn: {
        actions: assign({
          refs: ({ context, spawn }) => [...context.refs, spawn('child', { input: context.refs.length * 10 })],
        }),
      },
      add: { actions: ({ context, event }) => context.refs[event.to]?.send({ type: 'add' }) },
    },
  })

test('actors that were spawned without an id are told apart from those that are spawned after a restart', async () => {
  const directory = room.path()
  for (let round = 0; round < 4; round++) {
    const parent = createParent()
    const runtime = await open(directory, [parent])
    const run = await runtime.start(parent, { id: 'x' })
    await run.send({ type: 'spawn' })
    await run.send({ type: 'spawn' })
    for (let to = 0; to <= 2 * (round + 1); to++) await run.send({ type: 'add', to })
    const { context, children } = await run.snapshot()
    const values = context.refs.map((ref) => (ref.getSnapshot() as { context: { n: number } }).context.n)
    assert.equal(Object.keys(children).length, 2 * (round + 1) + 1)
    assert.deepEqual(
      values,
      values.map((_, index) => index * 10 + (round - Math.max(0, Math.ceil(index / 2) - 1) + 1)),
    )
    await runtime.close()
  }
})

test('a child that spawnChild made without an id is refused: it could not be found again', async () => {
  const machine = setup({ actors: { child: createChild() } }).createMachine({
    id: 'parent',
    on: { spawn: { actions: spawnChild('child', { input: 1 }) } },
  })
  const runtime = await open(room.path(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  await assert.rejects(run.send({ type: 'spawn' }), { code: 'VALUE_NOT_STORABLE', message: /without an id/ })
  assert.deepEqual(Object.keys((await run.snapshot()).children), [])
  await runtime.close()
})

test('a child whose logic has no name is refused, with the run and the state', async () => {
  const machine = setup({}).createMachine({
    id: 'parent',
    initial: 'a',
    states: { a: { on: { spawn: { actions: spawnChild(createChild(), { id: 'inline' as never, input: 1 as never }) } } } },
  })
  const runtime = await open(room.path(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  await assert.rejects(run.send({ type: 'spawn' }), { code: 'VALUE_NOT_STORABLE', message: /Run `x` in state "a".*`inline`/ })
  await runtime.close()
})
