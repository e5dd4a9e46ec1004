/** Structured output of durable turns: the text is what is recorded, and it is read again whenever the turn is returned. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { buildAgent, isPerdureError, type Model, type Profile, type Runtime } from 'perdure'
import { type Script, scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import { createHookedStore } from '../support/hooked-store.ts'
import { callNote, createRuntimeRoom, noteTool, type RuntimeRoom, toOutline } from '../support/runtime-room.ts'

const City = z.object({ city: z.string(), people: z.int().min(0) })
const paris = { city: 'Paris', people: 2_100_000 }
const json = JSON.stringify(paris)
const profile: Profile = { name: 'default', systemPrompt: 'Be brief.', model: 'test-model' }

const textAgent = (model: Model, given: Partial<Profile> = {}) => buildAgent({ ...profile, ...given }, { model })

describe('a durable agent with an output schema', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const forever = { fault: 'hang' } as const

  const open = async (directory: string, script: Script, given: Partial<Profile> = {}) => {
    const runtime = await room.open(directory)
    const model = scriptedModel(script)
    return { runtime, model, session: runtime.durable(textAgent(model, given)).session('main') }
  }

  /** A script that says when it is asked for the last time, and hangs then. */
  const untilAsked = (answers: readonly string[]) => {
    const asked = Promise.withResolvers<void>()
    let count = 0
    const script: Script = () => {
      const answer = answers[count++]
      if (answer !== undefined) return answer
      asked.resolve()
      return forever
    }
    return { script, asked: asked.promise }
  }

  const cutOff = async (turn: Promise<unknown>, asked: Promise<void>, runtime: Runtime) => {
    const failed = assert.rejects(turn, { code: 'ABORTED' })
    await asked
    await runtime.close()
    await failed
  }

  test('returns the parsed answer, and again from the store', async () => {
    const directory = room.room.path()
    const Place = City.transform(({ city }) => new Map([[city, true]]))
    const run = async (script: Script) => {
      const runtime = await room.open(directory)
      const agent = runtime.durable(buildAgent({ ...profile, output: Place }, { model: scriptedModel(script) }))
      const { output, reused } = await agent.run('Which city?')
      await runtime.close()
      return { output, reused }
    }
    assert.deepEqual(await run([json]), { output: new Map([['Paris', true]]), reused: false })
    assert.deepEqual(await run([]), { output: new Map([['Paris', true]]), reused: true })
  })

  test('does not ask again for what had settled when it died between an answer and its repair', async () => {
    const directory = room.room.path()
    const { script, asked } = untilAsked(['nonsense', '{"city":"Paris"}'])
    const first = await open(directory, script)
    await cutOff(first.session.run('Which city?', { output: City }), asked, first.runtime)
    const second = await open(directory, [json])
    const { output, spend } = await second.session.run('Which city?', { output: City })
    assert.deepEqual(output, paris)
    assert.equal(second.model.calls, 1)
    assert.equal(spend.modelCalls, 4) // with the one that was cut off
    assert.deepEqual(
      second.model.requests[0]?.messages.map(({ role }) => role),
      ['user', 'assistant', 'user', 'assistant', 'user'],
    )
    assert.deepEqual(toOutline(second.runtime.events), ['default resumed'])
    await second.runtime.close()
  })

  test('checks each of two sessions at once by its own schema, though both look the same to the model', async () => {
    const runtime = await room.open(room.room.path())
    const both = Promise.withResolvers<void>()
    let waiting = 0
    const model = scriptedModel(({ messages }) => {
      if (messages.length > 1) return '{"city":"Rome","people":1}'
      if (++waiting === 2) both.resolve()
      return { text: json, until: both.promise }
    })
    const agent = runtime.durable(textAgent(model))
    const [any, small] = await Promise.all([
      agent.session('any').run('Which city?', { output: City.refine(({ people }) => people > 10) }),
      agent.session('small').run('Which city?', { output: City.refine(({ people }) => people < 10) }),
    ])
    assert.deepEqual([any.output.city, small.output.city], ['Paris', 'Rome'])
    await runtime.close()
  })

  test('a recorded answer of a turn with an id that no longer fits is an error, not another turn', async () => {
    const directory = room.room.path()
    const first = await open(directory, [json])
    await first.session.run('Which city?', { id: '1', output: City })
    await first.runtime.close()
    const second = await open(directory, [])
    const Small = City.refine(({ people }) => people < 10, { error: 'Too many' })
    await assert.rejects(second.session.run('Which city?', { id: '1', output: Small }), {
      code: 'OUTPUT_INVALID',
      message: /no longer fits[\s\S]*Too many/,
    })
    await second.runtime.close()
  })

  test('counts repairs over restarts', async () => {
    const directory = room.room.path()
    const { script, asked } = untilAsked(['a', 'b'])
    const first = await open(directory, script)
    await cutOff(first.session.run('Which city?', { output: City }), asked, first.runtime)
    const second = await open(directory, ['c'])
    await assert.rejects(second.session.run('Which city?', { output: City }), { code: 'OUTPUT_INVALID' })
    await second.runtime.close()
  })

  test('that failed is asked once more when the turn is run again', async () => {
    const directory = room.room.path()
    const first = await open(directory, ['a', 'b', 'c'])
    await assert.rejects(first.session.run('Which city?', { output: City }), { code: 'OUTPUT_INVALID' })
    await first.runtime.close()
    const second = await open(directory, [json])
    assert.deepEqual((await second.session.run('Which city?', { output: City })).output, paris)
    assert.deepEqual(toOutline(second.runtime.events), ['default retried'])
    await second.runtime.close()
  })

  test('checks an answer whose check was cut off', async () => {
    const directory = room.room.path()
    const checked = Promise.withResolvers<void>()
    const Slow = City.refine(() => {
      checked.resolve()
      return new Promise<boolean>(() => {})
    })
    const first = await open(directory, [json])
    await cutOff(first.session.run('Which city?', { output: Slow }), checked.promise, first.runtime)
    // The refinement is not in what the machine recorded: it is that of the schema that is asked with now.
    const second = await open(directory, ['{"city":"Rome","people":1}'])
    const { output } = await second.session.run('Which city?', { output: City.refine(({ city }) => city !== 'Paris') })
    assert.equal(output.city, 'Rome')
    assert.equal(second.model.calls, 1)
    await second.runtime.close()
  })

  test('finishes a turn that was cut off by its JSON Schema when something else is asked', async () => {
    const directory = room.room.path()
    const { script, asked } = untilAsked(['{"city":"Paris"}'])
    const first = await open(directory, script)
    await cutOff(first.session.run('Which city?', { output: City }), asked, first.runtime)
    const second = await open(directory, ['{"city":"Paris","people":-1}', json, 'Fine.'])
    assert.equal((await second.session.run('How are you?')).output, 'Fine.')
    assert.equal(second.model.requests[0]?.output?.name, 'answer')
    assert.equal(second.model.requests[2]?.output, undefined)
    assert.deepEqual(toOutline(second.runtime.events), ['default resumed', 'default_2 new'])
    second.model.done()
    await second.runtime.close()
  })

  test('a turn that was cut off before its form changed answers in the new one', async () => {
    const directory = room.room.path()
    const { note, notes } = noteTool()
    const Named = z.object({ name: z.string() })
    const start = async (model: Model) => {
      const runtime = await room.open(directory)
      const agent = buildAgent({ ...profile, allowedTools: ['note'] }, { model, tools: [note] })
      return { runtime, session: runtime.durable(agent).session('main') }
    }
    const asked = Promise.withResolvers<void>()
    const first = await start(
      scriptedModel(({ messages }) => {
        if (messages.length === 1) return { toolCalls: [callNote('a')] }
        asked.resolve()
        return forever
      }),
    )
    await cutOff(first.session.run('Which city?', { output: City }), asked.promise, first.runtime)
    const second = await start(scriptedModel([json, '{"name":"Paris"}']))
    assert.deepEqual((await second.session.run('Which city?', { output: Named })).output, { name: 'Paris' })
    assert.deepEqual(notes, ['a'])
    assert.deepEqual(toOutline(second.runtime.events), ['default resumed'])
    await second.runtime.close()
  })

  const toChanged = (event: { readonly type: string; readonly changed?: readonly string[] }): readonly string[] =>
    event.type === 'checkpoint.started' ? (event.changed ?? []) : []

  /** Runs a flow of one turn. With `fails` it fails after that: the next attempt compares the turn with its record. */
  const attempt = async (directory: string, script: Script, output: z.ZodType | undefined, fails = false) => {
    const { runtime, model } = await open(directory, script)
    const agent = runtime.durable(textAgent(model))
    const flow = runtime.flow('ask', async () => {
      const turn = output === undefined ? await agent.run('Which?') : await agent.run('Which?', { output })
      if (fails) throw new Error('not yet')
      return turn.output
    })
    const answer = await flow.run(undefined, { id: 'ask' }).finally(() => runtime.close())
    return { answer, story: toOutline(runtime.events), changed: runtime.events.flatMap(toChanged) }
  }

  test('a turn of a flow comes from the store in its form', async () => {
    const directory = room.room.path()
    await assert.rejects(attempt(directory, [json], City, true), /not yet/)
    const { answer, story } = await attempt(directory, [], City)
    assert.deepEqual(answer, paris)
    assert.deepEqual(story, ['default reused'])
  })

  for (const [what, from, to, answer, value] of [
    ['another schema', City, z.object({ name: z.string() }), '{"name":"Paris"}', { name: 'Paris' }],
    [
      'a refinement that refuses the answer',
      City,
      City.refine(({ people }) => people < 10),
      '{"city":"Rome","people":1}',
      { city: 'Rome', people: 1 },
    ],
    ['a schema where there was none', undefined, City, json, paris],
    ['no schema where there was one', City, undefined, 'Paris', 'Paris'],
  ] as const)
    test(`a turn of a flow runs again as changed for ${what}`, async () => {
      const directory = room.room.path()
      await assert.rejects(attempt(directory, [from === undefined ? 'Paris' : json], from, true), /not yet/)
      const { answer: answered, changed } = await attempt(directory, [answer], to)
      assert.deepEqual(answered, value)
      assert.deepEqual(changed, ['output'])
    })
})

test('a turn with repairs comes to the same whatever write fails, and no answer that had settled is asked for again', async () => {
  const answers = new Map([
    [1, 'nonsense'],
    [3, '{"city":"Paris"}'],
    [5, json],
  ])
  /** Lives until write `death` fails, then once more. Says how many writes there were, and how many answers had settled by then. */
  const campaign = async (death: number) => {
    const store = await createHookedStore()
    let writes = 0
    const once = async (isDying: boolean) => {
      const runtime = store.open([], {
        write() {
          writes++
          if (isDying && writes >= death) throw new Error('The disk is gone')
        },
      })
      let settled = 0
      try {
        for await (const { kind, status } of runtime.get('default/main').steps())
          if (kind === 'model' && status === 'ok') settled++
      } catch (error) {
        assert.ok(isPerdureError(error, 'RUN_NOT_FOUND'))
      }
      // Each takes its time: what was before is on disk by then.
      const model = scriptedModel(({ messages }) => ({ text: answers.get(messages.length) ?? '', until: setTimeout(5) }))
      const turn = runtime.durable(buildAgent({ ...profile, output: City }, { model })).run('Which city?')
      const [result] = await Promise.allSettled([turn.then(({ output }) => output)])
      await runtime.close().catch(() => {})
      return { result, settled, calls: model.calls }
    }
    const { result: died } = await once(true)
    if (death <= writes) assert.equal(died.status, 'rejected', `write ${death} failed`)
    const { result, settled, calls } = await once(false)
    assert.deepEqual(result, { status: 'fulfilled', value: paris }, `after write ${death} had failed`)
    assert.equal(settled + calls, answers.size, `after write ${death} had failed`)
    return { writes, settled }
  }
  const { writes } = await campaign(Number.POSITIVE_INFINITY)
  const seen = new Set<number>()
  for (let death = 1; death <= writes; death++) seen.add((await campaign(death)).settled)
  assert.deepEqual([...seen].toSorted(), [0, 1, 2]) // the last one is written with the end of the turn
})
