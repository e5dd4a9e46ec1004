/** Agents as runs: prompts and messages are events, on disk when `send` resolves. P1 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Agent, Message } from 'perdure'
import { type ScriptedAnswer, scriptedModel } from 'perdure/testing'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { callNote, lastPrompt, noteTool, testAgent } from '../support/runtime-room.ts'

const texts = (messages: readonly Message[]): string[] =>
  messages.flatMap(({ role, content }) => (content === '' ? [] : [`${role}: ${content}`]))

/** Asks for the notes of a prompt such as `note a b`, and answers any other with all that the user said. */
const clerk = ({ messages }: { messages: readonly Message[] }): ScriptedAnswer => {
  const prompt = lastPrompt({ messages })
  const isNew = messages.at(-1)?.role === 'user'
  if (isNew && prompt.startsWith('note ')) return { toolCalls: prompt.split(' ').slice(1).map(callNote) }
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content)
  return { text: `${said.join('+')}!` }
}

describe('an agent as a run', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  const open = async (agent: Agent, directory = room.directory()) => {
    const runtime = await room.open(directory, [agent.machine])
    return { runtime, directory }
  }
  const begin = async (agent: Agent, input?: { prompt: string }) => {
    const opened = await open(agent)
    return { ...opened, started: await opened.runtime.start(agent.machine, { id: 'run', input }) }
  }
  /** The run of an agent, which has come to the end of this turn. */
  const untilAnswered = async (agent: Agent, directory: string, turn: number) => {
    const runtime = await room.open(directory, [agent.machine])
    const run = await runtime.start(agent.machine, { id: 'run' })
    const { context } = await run.waitFor(
      ({ context: now, value }) => now.turn === turn && (value === 'ready' || value === 'failed'),
    )
    return { context, runtime }
  }

  test('that was started with a prompt is done with its answer, also when a restart came between', async () => {
    const held = noteTool(() => new Promise(() => {}))
    const first = await begin(testAgent(scriptedModel(clerk), {}, [held.note]), { prompt: 'note a' })
    await first.started.waitFor('acting')
    await first.runtime.close()

    const { note, notes } = noteTool()
    const model = scriptedModel(clerk)
    const agent = testAgent(model, {}, [note])
    const second = await open(agent, first.directory)
    const run = await second.runtime.start(agent.machine, { id: 'run', input: { prompt: 'note a' } })
    const { output, spent } = await run.done()
    assert.deepEqual([output, spent.steps, model.calls, notes], ['note a!', 2, 1, ['a']])
    await second.runtime.close()
    const third = await open(agent, first.directory)
    const ended = await third.runtime.start(agent.machine, { id: 'run', input: { prompt: 'note a' } })
    assert.deepEqual(await ended.done(), { output, spent })
    await third.runtime.close()
  })

  test('that was started with a prompt fails as its turn did, also for those who ask later', async () => {
    const agent = testAgent(scriptedModel([{ fault: { status: 401 } }]))
    const { runtime, started, directory } = await begin(agent, { prompt: 'go' })
    await rejectsWith(started.done(), 'MODEL_UNAUTHORIZED')
    await runtime.close()
    const later = await open(agent, directory)
    await rejectsWith(
      (await later.runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })).done(),
      'MODEL_UNAUTHORIZED',
    )
    await later.runtime.close()
  })

  test('that was started without one takes prompts, and none twice', async () => {
    const model = scriptedModel(clerk)
    const agent = testAgent(model)
    const { runtime, started, directory } = await begin(agent)
    await started.send({ type: 'prompt', text: 'one' }, { id: 'p1' })
    await started.send({ type: 'prompt', text: 'one' }, { id: 'p1' })
    await started.waitFor(({ context }) => context.turn === 1 && context.messages.length === 2)
    await started.send({ type: 'prompt', text: 'two' }, { id: 'p2' })
    await runtime.close()
    const { context, runtime: next } = await untilAnswered(agent, directory, 2)
    assert.deepEqual(texts(context.messages), ['user: one', 'assistant: one!', 'user: two', 'assistant: one+two!'])
    await next.close()
  })

  test('works off the prompts that were sent while a turn ran, in order, after a restart', async () => {
    const first = await begin(testAgent(scriptedModel([{ fault: 'hang' }])))
    for (const text of ['one', 'two', 'three']) await first.started.send({ type: 'prompt', text }, { id: text })
    await first.runtime.close()
    const model = scriptedModel(clerk)
    const { context, runtime } = await untilAnswered(testAgent(model), first.directory, 3)
    const answers = ['assistant: one!', 'assistant: one+two!', 'assistant: one+two+three!']
    assert.deepEqual(
      texts(context.messages).filter((text) => text.startsWith('assistant')),
      answers,
    )
    assert.equal(model.calls, 3)
    await runtime.close()
  })

  test('keeps a message that steers over a restart, and it joins after the results', async () => {
    const held = noteTool(() => new Promise(() => {}))
    const first = await begin(testAgent(scriptedModel(clerk), {}, [held.note]))
    await first.started.send({ type: 'prompt', text: 'note a b' })
    await first.started.waitFor('acting')
    await first.started.send({ type: 'steer', text: 'left' })
    await first.runtime.close()

    const { note, notes } = noteTool()
    const model = scriptedModel(clerk)
    const { context, runtime } = await untilAnswered(testAgent(model, {}, [note]), first.directory, 1)
    assert.deepEqual(texts(context.messages), [
      'user: note a b',
      'tool: noted a',
      'tool: noted b',
      'user: left',
      'assistant: note a b+left!',
    ])
    assert.deepEqual([notes.toSorted(), model.calls], [['a', 'b'], 1])
    await runtime.close()
  })

  test('ends its calls at an interrupt, and they are not executed after a restart', async () => {
    const signals: AbortSignal[] = []
    const held = noteTool((_, signal) => {
      signals.push(signal)
      return new Promise(() => {})
    })
    const first = await begin(testAgent(scriptedModel(clerk), {}, [held.note]))
    await first.started.send({ type: 'prompt', text: 'note a b' })
    await first.started.waitFor('acting')
    await first.started.send({ type: 'interrupt', text: 'Stop' })
    await first.runtime.close()
    assert.ok(signals.every(({ aborted }) => aborted))

    const { note, notes } = noteTool()
    const { context, runtime } = await untilAnswered(testAgent(scriptedModel(clerk), {}, [note]), first.directory, 1)
    assert.deepEqual(notes, [])
    assert.deepEqual(texts(context.messages), [
      'user: note a b',
      'tool: This call was interrupted. Its outcome is not known.',
      'tool: This call was interrupted. Its outcome is not known.',
      'user: Stop',
      'assistant: note a b+Stop!',
    ])
    await runtime.close()
  })

  test('ends a request at an interrupt, and asks with its message', async () => {
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel((request, call) => {
      if (call > 1) return clerk(request)
      asked.resolve()
      return { fault: 'hang' }
    })
    const { runtime, started } = await begin(testAgent(model), { prompt: 'go' })
    await asked.promise
    await started.send({ type: 'interrupt', text: 'Faster' })
    assert.equal((await started.done()).output, 'go+Faster!')
    assert.equal(model.calls, 2)
    await runtime.close()
  })

  test('whose turn was aborted goes on with a retry, and what had settled is not executed again', async () => {
    const gate = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    let holds = true
    const { note, notes } = noteTool((text) => {
      if (text !== 'b' || !holds) return undefined
      begun.resolve()
      return gate.promise
    })
    const model = scriptedModel(clerk)
    const { runtime, started } = await begin(testAgent(model, {}, [note]))
    await started.send({ type: 'prompt', text: 'note a b' })
    await started.waitFor(({ context }) => Object.keys(context.results).length === 1)
    await begun.promise
    await started.send({ type: 'abort' })
    const failed = await started.waitFor('failed')
    assert.equal(failed.context.error?.code, 'ABORTED')
    holds = false
    gate.resolve()
    await started.send({ type: 'retry' })
    const { context } = await started.waitFor(({ value, context: now }) => value === 'ready' && now.turn === 1)
    assert.deepEqual(texts(context.messages).slice(1), ['tool: noted a', 'tool: noted b', 'assistant: note a b!'])
    assert.equal(notes.filter((text) => text === 'a').length, 1)
    assert.equal(model.calls, 2)
    await runtime.close()
  })
})
