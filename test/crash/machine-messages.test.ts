/**
 * Messages between runs under load, without a death: exactly once, in the order of each sender, and nobody has to be asked. Would catch: a message that comes
 * while the last pass over the inbox ends and is not seen; a message that was sent before another and written after it, and is taken for an old one.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { sendToRun } from 'perdure'
import { assign, setup } from 'xstate'
import { createMachineRoom, type MachineRoom } from '../support/machine-room.ts'

let room: MachineRoom
before(async () => {
  room = await createMachineRoom()
})
after(() => room.remove())

/** A run fails a test by a bound, not by its silence. */
const soon = { timeoutMs: 20_000 }

test('tokens that go round a ring of runs all arrive, in the order in which they were sent', async () => {
  const [size, tokens, hops] = [8, 12, 400]
  interface Token {
    readonly type: 'token'
    readonly hops: number
    readonly seq: number
  }
  const machine = setup({
    types: {
      context: {} as { readonly index: number; readonly sent: number; readonly got: readonly number[]; readonly kept: number },
      input: {} as { readonly index: number },
      events: {} as Token | { type: 'go' },
    },
    actions: {
      pass: sendToRun(
        ({ context }) => `ring-${(context.index + 1) % size}`,
        ({ context, event }) => ({ type: 'token', hops: event.type === 'token' ? event.hops - 1 : hops, seq: context.sent }),
      ),
      count: assign({ sent: ({ context }) => context.sent + 1 }),
      take: assign({ got: ({ context, event }) => (event.type === 'token' ? [...context.got, event.seq] : context.got) }),
    },
  }).createMachine({
    id: 'ring',
    context: ({ input: { index } }) => ({ index, sent: 0, got: [], kept: 0 }),
    on: {
      go: { actions: Array.from({ length: tokens }, () => ['pass', 'count'] as const).flat() },
      token: [
        { guard: ({ event }) => event.hops > 1, actions: ['take', 'pass', 'count'] },
        { actions: ['take', assign({ kept: ({ context }) => context.kept + 1 })] },
      ],
    },
  })
  const runtime = await room.open(room.directory(), [machine])
  const runs = await Promise.all(
    Array.from({ length: size }, (_, index) => runtime.start(machine, { id: `ring-${index}`, input: { index } })),
  )
  await runs[0]?.send({ type: 'go' })
  await runs[hops % size]?.waitFor(({ context }) => context.kept === tokens, soon)
  for (const run of runs) {
    const { got } = (await run.snapshot()).context
    assert.deepEqual(
      got,
      got.map((_, index) => index),
    )
    assert.equal(got.length, (tokens * hops) / size)
  }
})

test('messages of many runs that send at once all arrive, also those that were written after later ones', async () => {
  const [senders, each] = [700, 3]
  const receiver = setup({
    types: {
      context: {} as { readonly got: readonly (readonly [from: number, n: number])[] },
      events: {} as { type: 'hello'; from: number; n: number },
    },
  }).createMachine({
    id: 'receiver',
    context: { got: [] },
    on: { hello: { actions: assign({ got: ({ context, event: { from, n } }) => [...context.got, [from, n] as const] }) } },
  })
  const sender = setup({
    types: {
      context: {} as { readonly index: number; readonly n: number },
      input: {} as { readonly index: number },
      events: {} as { type: 'think' } | { type: 'go' },
    },
  }).createMachine({
    id: 'sender',
    context: ({ input: { index } }) => ({ index, n: 0 }),
    on: {
      think: { actions: assign({ n: ({ context }) => context.n }) },
      go: {
        actions: [
          sendToRun('receiver', ({ context: { index, n } }) => ({ type: 'hello', from: index, n })),
          assign({ n: ({ context }) => context.n + 1 }),
        ],
      },
    },
  })
  const runtime = await room.open(room.directory(), [receiver, sender])
  const to = await runtime.start(receiver, { id: 'receiver' })
  const runs = await Promise.all(
    Array.from({ length: senders }, (_, index) => runtime.start(sender, { id: `sender-${index}`, input: { index } })),
  )
  // Those in front wait for their place in a batch before they have anything to send.
  const thinking = runs.map((run) => run.send({ type: 'think' }))
  for (let n = 0; n < each; n++) await Promise.all(runs.toReversed().map((run) => run.send({ type: 'go' })))
  await Promise.all(thinking)
  const { context } = await to.waitFor(({ context: { got } }) => got.length >= senders * each, soon)
  for (const [index] of runs.entries())
    assert.deepEqual(
      context.got.filter(([from]) => from === index).map(([, n]) => n),
      [0, 1, 2],
    )
})
