/** `flow.ask`: a question to a person that outlives the process, with an answer that fits. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FlowContext, isPerdureError } from 'perdure'
import { z } from 'zod'
import { createRuntimeRoom, type RuntimeRoom, toOutline } from '../support/runtime-room.ts'

describe('a question of a flow', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const start = async <T>(directory: string, fn: (flow: FlowContext) => Promise<T>) => {
    const runtime = await room.open(directory)
    const flow = runtime.flow('flow', (_input: undefined, context) => fn(context))
    const asked = Promise.withResolvers<void>()
    runtime.subscribe((event) => void (event.type === 'checkpoint.started' && asked.resolve()))
    const result = flow.run(undefined, { id: 'run' }).catch((error: unknown) => error)
    return { runtime, flow, result, run: runtime.get('run'), asked: asked.promise }
  }
  const toCode = (error: unknown): unknown => (isPerdureError(error) ? error.code : error)
  const schema = z.object({ day: z.string().transform((text) => new Date(text)), seats: z.int().positive() })
  const book = ({ ask }: FlowContext) => ask('When?', schema)
  const day = '2026-01-01T00:00:00Z'

  test('refuses an answer that does not fit and goes on waiting, and returns one that does as the schema makes it', async () => {
    const { runtime, result, run, asked } = await start(room.room.path(), book)
    await asked
    const pending = await runtime.pending()[Symbol.asyncIterator]().next()
    assert.deepEqual([pending.value?.runId, pending.value?.id, pending.value?.text], ['run', 'ask/ask', 'When?'])
    for (const answer of [5, { day, seats: 0 }, { day }])
      await assert.rejects(run.answer('ask/ask', answer), (error) => toCode(error) === 'ANSWER_INVALID')
    await run.answer('ask/ask', { day, seats: 2 })
    assert.deepEqual(await result, { day: new Date(day), seats: 2 })
    await assert.rejects(run.answer('ask/ask', { day, seats: 3 }), (error) => toCode(error) === 'STEP_SETTLED')
    await runtime.close()
  })

  test('is answered by another process that does not execute the run', async () => {
    const directory = room.room.path()
    const first = await start(directory, book)
    await first.asked
    await first.runtime.close()
    const between = await room.open(directory)
    await assert.rejects(between.get('run').answer('ask/ask', { day, seats: 0 }), (error) => toCode(error) === 'ANSWER_INVALID')
    await between.get('run').answer('ask/ask', { day, seats: 1 })
    await between.close()
    const second = await start(directory, book)
    assert.deepEqual(await second.result, { day: new Date(day), seats: 1 })
    await second.runtime.close()
  })

  test('is asked again when its answer, given elsewhere, turns out not to fit', async () => {
    const directory = room.room.path()
    const even = ({ ask }: FlowContext) =>
      ask(
        'How many?',
        z.int().refine((number) => number % 2 === 0, 'Even, please'),
      )
    const first = await start(directory, even)
    await first.asked
    await first.runtime.close()
    const between = await room.open(directory)
    await between.get('run').answer('ask/ask', 3) // a JSON Schema does not say that it has to be even
    await between.close()
    const second = await start(directory, even)
    await second.asked
    const answered = Promise.withResolvers<void>()
    second.runtime.subscribe(({ type }) => void (type === 'question.asked' && answered.resolve()))
    if (!second.runtime.events.some(({ type }) => type === 'question.asked')) await answered.promise
    await second.run.answer('ask/ask', 4)
    assert.equal(await second.result, 4)
    await second.runtime.close()
  })

  test('that has its answer keeps it, and is asked again when its words change', async () => {
    const directory = room.room.path()
    const run = async (text: string, answer?: string) => {
      const { runtime, result, run, asked } = await start(directory, async ({ ask, step }) => {
        const name = await ask(text, z.string())
        await step('after', () => name)
        throw new Error(name)
      })
      if (answer !== undefined) {
        await asked
        await run.answer('ask/ask', answer)
      }
      const error = await result
      await runtime.close()
      return { said: error instanceof Error && error.message, outline: toOutline(runtime.events) }
    }
    assert.deepEqual(await run('Who?', 'me'), { said: 'me', outline: ['ask new', 'after new'] })
    assert.deepEqual(await run('Who?'), { said: 'me', outline: ['ask reused', 'after reused'] })
    assert.deepEqual(await run('Who, please?', 'you'), { said: 'you', outline: ['ask changed', 'after after-change'] })
    assert.deepEqual(await run('Who, please?'), { said: 'you', outline: ['ask reused', 'after reused'] })
  })

  test('is refused when it is none', async () => {
    const { runtime, result } = await start(room.room.path(), async ({ ask, step }) => {
      const codes: unknown[] = []
      const note = (error: unknown): void => void codes.push(error instanceof TypeError ? 'TypeError' : toCode(error))
      await ask('', z.string()).catch(note)
      await ask('Who?', 'string' as never).catch(note) // what a caller without types may pass
      await step('step', () => ask('Who?', z.string()).catch(note))
      return codes
    })
    assert.deepEqual(await result, ['TypeError', 'TypeError', 'STEP_NESTED'])
    await runtime.close()
  })
})
