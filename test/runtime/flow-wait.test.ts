/** `flow.waitFor` and events sent to flows: acknowledged events outlive the process and are taken once (P1, P5, P8). */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Clock, type FlowContext, isPerdureError, sendToRun } from 'perdure'
import { testClock } from 'perdure/testing'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { createHookedStore } from '../support/hooked-store.ts'
import { createRuntimeRoom, type RecordedRuntime, type RuntimeRoom, toOutline } from '../support/runtime-room.ts'

const MINUTE = 60_000

describe('a flow that waits for events', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** Resolves when the checkpoint has begun. */
  const begun = async (runtime: RecordedRuntime, checkpoint: string): Promise<void> => {
    const isBegun = (): boolean =>
      runtime.events.some((event) => event.type === 'checkpoint.started' && event.checkpoint === checkpoint)
    const enough = Promise.withResolvers<void>()
    const check = (): void => void (isBegun() && enough.resolve())
    const subscription = runtime.subscribe(check)
    check()
    await enough.promise
    subscription.unsubscribe()
  }

  /** Starts a flow as run `run`. */
  const start = async <T>(directory: string, fn: (flow: FlowContext) => Promise<T>, clock: Clock = testClock()) => {
    const runtime = await room.open(directory, { clock })
    const flow = runtime.flow('flow', (_input: undefined, context) => fn(context))
    const result = flow.run(undefined, { id: 'run' }).catch((error: unknown) => error)
    return { runtime, flow, result, run: runtime.get('run') }
  }
  const toCode = (error: unknown): unknown => (isPerdureError(error) ? error.code : error)

  test('takes the oldest of its type, sent before it asked or after, and leaves the others', async () => {
    const { runtime, result, run } = await start(room.room.path(), async ({ waitFor, step }) => {
      const first = await waitFor('paid')
      await step('between', () => {})
      return [first.amount, (await waitFor('sent')).to, (await waitFor('paid')).amount]
    })
    await begun(runtime, 'paid')
    for (const event of [{ type: 'other' }, { type: 'paid', amount: 1 }, { type: 'paid', amount: 2 }]) await run.send(event)
    await begun(runtime, 'sent')
    await run.send({ type: 'sent', to: 'me' })
    assert.deepEqual(await result, [1, 'me', 2])
    const dropped = runtime.events.filter((event) => event.type === 'message.dropped')
    assert.deepEqual(
      dropped.map((event) => event.type === 'message.dropped' && event.event),
      [{ type: 'other' }],
    )
    await assert.rejects(run.send({ type: 'paid' }), (error) => toCode(error) === 'RUN_ENDED')
    await runtime.close()
  })

  test('gives two who wait for one type an event each, in the order in which they asked', async () => {
    const { runtime, result, run } = await start(room.room.path(), ({ all, waitFor }) =>
      all([() => waitFor('go'), () => waitFor('go'), waitFor('go')]),
    )
    await begun(runtime, 'all.1/2/go')
    await Promise.all([1, 2, 3].map((n) => run.send({ type: 'go', n })))
    const taken = await result
    assert.ok(Array.isArray(taken))
    assert.deepEqual(taken.map(({ n }) => n).sort(), [1, 2, 3])
    await runtime.close()
  })

  test('is sent events while no process executes it, and has them when it goes on', async () => {
    const directory = room.room.path()
    const fn = async ({ waitFor }: FlowContext) => [(await waitFor('go')).n, (await waitFor('go')).n]
    const first = await start(directory, fn)
    await begun(first.runtime, 'go')
    await first.run.send({ type: 'go', n: 1 })
    await begun(first.runtime, 'go_2')
    await first.runtime.close()
    assert.equal(toCode(await first.result), 'ABORTED')
    const between = await room.open(directory)
    await between.get('run').send({ type: 'go', n: 2 })
    await between.close()
    const second = await start(directory, fn)
    assert.deepEqual(await second.result, [1, 2])
    assert.deepEqual(toOutline(second.runtime.events), ['go reused', 'go_2 resumed'])
    await second.runtime.close()
  })

  test('takes an event of one id once, whoever sends it how often', async () => {
    const directory = room.room.path()
    const fn = async ({ waitFor }: FlowContext) => [(await waitFor('go')).n, (await waitFor('go')).n]
    const { runtime, result, run } = await start(directory, fn)
    await begun(runtime, 'go')
    await Promise.all([1, 1, 1].map((n) => run.send({ type: 'go', n }, { id: 'one' })))
    await begun(runtime, 'go_2')
    await run.send({ type: 'go', n: 1 }, { id: 'one' })
    await run.send({ type: 'go', n: 2 }, { id: 'two' })
    assert.deepEqual(await result, [1, 2])
    await run.send({ type: 'go', n: 2 }, { id: 'two' }) // of a run that has ended: it was taken
    assert.ok(!runtime.events.some(({ type }) => type === 'message.dropped'))
    await runtime.close()
  })

  test('takes only what its schema accepts, and returns it as the schema makes it', async () => {
    const directory = room.room.path()
    const schema = z.object({ type: z.literal('paid'), on: z.string().transform((text) => new Date(text)) })
    const fn = async ({ waitFor }: FlowContext) => {
      const { on } = await waitFor('paid', { schema })
      await waitFor('end')
      return on.getTime()
    }
    const first = await start(directory, fn)
    await begun(first.runtime, 'paid')
    await first.run.send({ type: 'paid', on: 5 })
    await first.run.send({ type: 'paid', on: '1970-01-01T00:00:01Z' })
    await begun(first.runtime, 'end')
    await first.runtime.close()
    const second = await start(directory, fn)
    await begun(second.runtime, 'end')
    await second.run.send({ type: 'end' })
    assert.equal(await second.result, 1000)
    assert.ok(second.runtime.events.some((event) => event.type === 'message.dropped' && event.event.type === 'paid'))
    await second.runtime.close()
  })

  test('gives up at its deadline, which outlives the process', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const fn = async ({ waitFor }: FlowContext) => waitFor('go', { timeoutMs: 10 * MINUTE }).catch(toCode)
    const first = await start(directory, fn, clock)
    await begun(first.runtime, 'go')
    await clock.advance(4 * MINUTE)
    await first.runtime.close()
    assert.equal(clock.pending, 0)
    await clock.advance(4 * MINUTE)
    const second = await start(directory, fn, clock)
    await begun(second.runtime, 'go')
    await clock.advance(2 * MINUTE - 1)
    assert.ok(!second.runtime.events.some(({ type }) => type === 'checkpoint.failed'))
    await clock.advance(1)
    assert.equal(await second.result, 'WAIT_TIMEOUT')
    await second.runtime.close()
  })

  test('that was down at its deadline takes what came before it, and not what came after', async () => {
    for (const [minutes, expected] of [
      [5, 'go'],
      [15, 'WAIT_TIMEOUT'],
    ] as const) {
      const directory = room.room.path()
      const clock = testClock()
      const fn = async ({ waitFor }: FlowContext) => waitFor('go', { timeoutMs: 10 * MINUTE }).then(({ type }) => type, toCode)
      const first = await start(directory, fn, clock)
      await begun(first.runtime, 'go')
      await first.runtime.close()
      await clock.advance(minutes * MINUTE)
      const between = await room.open(directory, { clock })
      await between.get('run').send({ type: 'go' })
      await between.close()
      await clock.advance(20 * MINUTE)
      const second = await start(directory, fn, clock)
      await begun(second.runtime, 'go')
      if (expected === 'WAIT_TIMEOUT') await clock.advance(0)
      assert.equal(await second.result, expected)
      await second.runtime.close()
    }
  })

  test('keeps what it was sent when it fails, and an event that was taken when what came before is executed again', async () => {
    const directory = room.room.path()
    const run = async (fails: boolean, prompt: string) => {
      const { runtime, result, run } = await start(directory, async ({ waitFor, ask }) => {
        await ask(prompt, z.string())
        const { n } = await waitFor('go')
        if (fails) throw new Error('on purpose')
        return [n, (await waitFor('later')).n]
      })
      await begun(runtime, 'ask')
      await run.answer('ask/ask', 'yes')
      return { runtime, result, run }
    }
    const first = await run(true, 'Now?')
    await first.run.send({ type: 'later', n: 2 })
    await first.run.send({ type: 'go', n: 1 })
    assert.ok((await first.result) instanceof Error)
    await first.runtime.close()
    const second = await run(false, 'And now?')
    assert.deepEqual(await second.result, [1, 2])
    assert.deepEqual(toOutline(second.runtime.events), ['ask changed', 'go after-change', 'later new'])
    await second.runtime.close()
  })

  test('hears machines, which send to it with their transition', async () => {
    const machine = createMachine({
      id: 'sender',
      initial: 'sending',
      states: { sending: { entry: sendToRun('run', { type: 'go' }), type: 'final' } },
    })
    const store = await createHookedStore()
    const runtime = store.open([machine])
    const flow = runtime.flow('flow', async (_input: undefined, { waitFor }) => (await waitFor('go')).type)
    const asked = Promise.withResolvers<void>()
    runtime.subscribe(({ type }) => void (type === 'checkpoint.started' && asked.resolve()))
    const result = flow.run(undefined, { id: 'run' })
    await asked.promise
    await runtime.start(machine, { id: 'sender' })
    assert.equal(await result, 'go')
    await runtime.close()
  })

  test('never loses an acknowledged event, nor takes one twice, whatever write fails', async () => {
    const campaign = async (death: number): Promise<number> => {
      const store = await createHookedStore()
      let writes = 0
      const once = async (isDying: boolean) => {
        const runtime = store.open([], {
          write() {
            writes++
            if (isDying && writes >= death) throw new Error('The disk is gone')
          },
        })
        const flow = runtime.flow('flow', async (_input: undefined, { waitFor, all }) => {
          const one = await waitFor('go')
          return [one.n, ...(await all([() => waitFor('go'), () => waitFor('go')])).map(({ n }) => n)]
        })
        const sending: Promise<unknown>[] = []
        runtime.subscribe((event) => {
          if (event.type !== 'run.started') return
          for (const n of [1, 2, 3])
            sending.push(
              runtime
                .get('run')
                .send({ type: 'go', n }, { id: String(n) })
                .catch(() => runtime.close()), // as an app does whose store is gone
            )
        })
        const result = await flow.run(undefined, { id: 'run' }).catch((error: unknown) => error)
        await Promise.all(sending)
        await runtime.close().catch(() => {})
        return result
      }
      const died = await once(true)
      if (death <= writes) assert.ok(died instanceof Error)
      const result = await once(false)
      assert.ok(Array.isArray(result), `after write ${death} had failed: ${result}`)
      assert.deepEqual([...result].sort(), [1, 2, 3], `after write ${death} had failed`)
      assert.ok(!(await store.keys()).some((key) => key.startsWith('i/')))
      return writes
    }
    const writes = await campaign(Number.POSITIVE_INFINITY)
    for (let death = 1; death <= writes; death++) await campaign(death)
  })

  test('refuses what it cannot wait for, and who sends to no run', async () => {
    const { runtime, result } = await start(room.room.path(), async ({ waitFor, step }) => {
      const codes: unknown[] = []
      const note = (error: unknown): void => void codes.push(error instanceof TypeError ? 'TypeError' : toCode(error))
      await waitFor('').catch(note)
      await waitFor('a', { timeoutMs: -1 }).catch(note)
      await waitFor('a', { schema: 'no' as never }).catch(note) // what a caller without types may pass
      await step('step', () => waitFor('a').catch(note))
      return codes
    })
    assert.deepEqual(await result, ['TypeError', 'TypeError', 'TypeError', 'STEP_NESTED'])
    await assert.rejects(runtime.get('none').send({ type: 'a' }), (error) => toCode(error) === 'RUN_NOT_FOUND')
    await runtime.close()
  })
})
