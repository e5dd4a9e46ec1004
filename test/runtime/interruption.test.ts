/**
 * P2 and P5 at every moment that can be told apart: a flow is ended at its n-th event, for every n, and started again until it
 * completes. No settled call is made again, and the result is that of the run that nothing happened to.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { CheckpointStrategy, RuntimeEvent } from 'perdure'
import { PerdureError } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { crashScript } from '../support/crash-script.ts'
import { createRuntimeRoom, noteTool, type RecordedRuntime, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

describe('a flow that is ended at any event', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** What was executed, by key, and which of it had settled, over all attempts at one run. */
  const createWatch = () => {
    const settled = new Set<string>()
    const repeated: string[] = []
    return {
      repeated,
      /** Under `turn` a call is a checkpoint once its turn has finished. */
      hear(event: RuntimeEvent, strategy: CheckpointStrategy): void {
        if (!('checkpoint' in event)) return
        const name = `${event.runId} ${'key' in event ? event.key : event.checkpoint}`
        if (event.type.endsWith('.started') && settled.has(name)) repeated.push(name)
        if (event.type === 'call.settled' && event.status === 'ok' && strategy === 'calls') settled.add(name)
        if (event.type === 'checkpoint.finished') settled.add(name)
      },
    }
  }

  const run = (runtime: RecordedRuntime, strategy: CheckpointStrategy, signal?: AbortSignal, failAt?: number) => {
    const { note } = noteTool((text) => (text.endsWith('3') ? new Promise((resolve) => setImmediate(resolve)) : undefined))
    let calls = 0
    const model = scriptedModel((request) => {
      calls++
      return calls === failAt ? { error: new PerdureError('MODEL_UNAVAILABLE', 'on purpose') } : crashScript(request)
    })
    const build = (name: string) => runtime.durable(testAgent(model, { name }, [note]), { checkpoint: strategy })
    const [one, two] = [build('one'), build('two')]
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => {
      const [first, beside] = await Promise.all([one.run('first'), two.run('beside')])
      const length = await step('length', () => first.output.length)
      const second = await one.run(`second ${length}`)
      return [first.output, beside.output, length, second.output]
    })
    return flow.run(undefined, { signal })
  }

  const complete = async (strategy: CheckpointStrategy) => {
    const runtime = await room.open()
    const output = await run(runtime, strategy)
    await runtime.close()
    return { output, events: runtime.events.filter(({ type }) => type !== 'text.received').length }
  }

  for (const [strategy, how, stride] of [
    ['calls', 'close', 1],
    ['calls', 'abort', 3],
    ['turn', 'close', 3],
    ['turn', 'abort', 5],
  ] as const)
    test(`goes on where it was (${strategy}, ${how})`, async () => {
      const reference = await complete(strategy)
      assert.ok(reference.events > 40)
      for (let at = 1; at <= reference.events; at += stride) {
        const directory = room.room.path()
        const { hear, repeated } = createWatch()
        for (let life = 1; life < 9; life++) {
          const runtime = await room.open(directory)
          const abort = new AbortController()
          let count = 0
          runtime.subscribe((event) => {
            hear(event, strategy)
            if (event.type === 'text.received') return
            // The second life ends as well, elsewhere.
            if (++count !== (life === 1 ? at : Math.ceil(at / 3)) || life > 2) return
            if (how === 'close') void runtime.close()
            else abort.abort()
          })
          const output = await run(runtime, strategy, abort.signal).catch((error: unknown) => {
            assert.ok(error instanceof PerdureError && error.code === 'ABORTED', String(error))
            return undefined
          })
          await runtime.close()
          if (output === undefined) continue
          assert.deepEqual(output, reference.output, `ended at event ${at}`)
          break
        }
        assert.deepEqual(repeated, [], `ended at event ${at}`)
      }
    })

  test('goes on where a model call failed, whichever it is', async () => {
    const reference = await complete('calls')
    for (let at = 1; at <= 9; at++) {
      const runtime = await room.open()
      const { hear, repeated } = createWatch()
      runtime.subscribe((event) => hear(event, 'calls'))
      const directory = runtime.directory
      await assert.rejects(run(runtime, 'calls', undefined, at), { code: 'MODEL_UNAVAILABLE' })
      await runtime.close()
      const again = await room.open(directory)
      again.subscribe((event) => hear(event, 'calls'))
      assert.deepEqual(await run(again, 'calls'), reference.output)
      await again.close()
      assert.deepEqual(repeated, [])
    }
  })
})
