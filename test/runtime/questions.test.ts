/** Approvals and questions of agents: listed, answered and withdrawn, over restarts and whether or not the run is in memory. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { buildAgent, isPerdureError, type Pending, type Runtime, tool } from 'perdure'
import { type ScriptedAnswer, scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { readPending } from '../support/pending-list.ts'
import { eventually } from '../support/processes.ts'

describe('a question', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  const paid: unknown[] = []
  const pay = tool({
    name: 'pay',
    description: 'Pays',
    input: z.object({ to: z.string(), euros: z.number().max(100) }),
    approval: ({ euros }) => euros > 10,
    run(input) {
      paid.push(input)
      return `paid ${input.euros} to ${input.to}`
    },
  })
  const askHuman = { answer: z.object({ day: z.string(), seats: z.int().positive() }) }
  const profile = { name: 'default', systemPrompt: '', model: 'test-model', allowedTools: ['pay', 'askHuman'] }
  /** Makes the calls, then says what it was told of each. */
  const agentOf = (...toolCalls: NonNullable<ScriptedAnswer['toolCalls']>) => {
    const model = scriptedModel(({ messages }) => {
      const since = messages.slice(messages.findLastIndex(({ role }) => role === 'user'))
      const results = since.filter(({ role }) => role === 'tool')
      return results.length > 0 ? { text: results.map(({ content }) => content).join(' | ') } : { toolCalls }
    })
    return Object.assign(buildAgent(profile, { model, tools: [pay], askHuman }), { model })
  }
  const callPay = (to: string, euros = 50) => ({ name: 'pay', arguments: { to, euros }, id: `pay_${to}` })
  const callHuman = { name: 'askHuman', arguments: { question: 'When?' }, id: 'ask_1' }

  type Agent = ReturnType<typeof agentOf>
  const begin = async (agent: Agent, directory = room.directory(), options: Parameters<MachineRoom['open']>[2] = {}) => {
    const runtime = await room.open(directory, [agent.machine], options)
    const run = await runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    return { runtime, run, directory, output: async () => ((await run.done()) as { output: string }).output }
  }
  const untilPending = (runtime: Runtime, count = 1) =>
    eventually('the questions are asked', async (): Promise<Pending[] | undefined> => {
      const pending = await readPending(runtime)
      return pending.length === count ? pending : undefined
    })
  const only = async (runtime: Runtime) => {
    const [question] = await untilPending(runtime)
    assert.ok(question !== undefined)
    return question
  }
  const settledWith = (promise: Promise<unknown>, isSame: boolean) =>
    assert.rejects(promise, (error) => isPerdureError(error, 'STEP_SETTLED') && error.details.isSame === isSame)

  /** Whoever tries to settle a step of a run in memory by hand is refused for that, and a question cannot be settled so. */
  const isOutOfMemory = (runtime: Runtime, id: string) =>
    runtime
      .get('run')
      .settle(id, { result: '' })
      .catch((error: unknown) => isPerdureError(error, 'STEP_UNKNOWN') || undefined)
      .then((isOut) => isOut || undefined)

  for (const [title, answer, told, executed] of [
    ['approved', true, 'paid 50 to Ada', [{ to: 'Ada', euros: 50 }]],
    ['denied', false, 'A person denied this call of `pay`. It was not executed. No reason was given.', []],
    [
      'denied with a reason',
      { approved: false, reason: 'Too much.' },
      'A person denied this call of `pay`. It was not executed. The reason: Too much.',
      [],
    ],
    [
      'approved with other arguments',
      { approved: true, arguments: { to: 'Ada', euros: 20 } },
      '(A person changed the arguments to {"to":"Ada","euros":20}.)\npaid 20 to Ada',
      [{ to: 'Ada', euros: 20 }],
    ],
  ] as const)
    test(`about a call that is ${title} has the model told so`, async () => {
      paid.length = 0
      const { runtime, run, output } = await begin(agentOf(callPay('Ada')))
      const { id, kind, name, call, schema } = await only(runtime)
      assert.deepEqual([kind, name, call], ['approval', 'pay', { name: 'pay', arguments: '{"to":"Ada","euros":50}' }])
      assert.ok('anyOf' in schema)
      await run.answer(id, answer)
      assert.equal(await output(), told)
      assert.deepEqual(paid, executed)
      assert.deepEqual(await readPending(runtime), [])
      await settledWith(run.answer(id, answer), true)
      await settledWith(run.answer(id, { approved: false, reason: 'other' }), false)
      await runtime.close()
    })

  test('about a call is only asked where the arguments want it', async () => {
    const { runtime, output } = await begin(agentOf(callPay('Ada', 5)))
    assert.equal(await output(), 'paid 5 to Ada')
    assert.ok(!runtime.events.some(({ type }) => type === 'question.asked'))
    await runtime.close()
  })

  test('is not answered by what does not fit, and stays as it is', async () => {
    const { runtime, run, output } = await begin(agentOf(callPay('Ada')))
    const question = await only(runtime)
    for (const answer of [
      'yes',
      {},
      { approved: true, extra: 1 },
      { approved: true, arguments: { to: 'Ada', euros: 5000 } },
      { approved: true, arguments: { to: 'Ada' } },
      { approved: true, arguments: 'text' },
    ])
      await rejectsWith(run.answer(question.id, answer), 'ANSWER_INVALID')
    await rejectsWith(
      run.answer(question.id, () => true),
      'VALUE_NOT_STORABLE',
    )
    await rejectsWith(run.answer('call/000001/m001/nothing', true), 'STEP_UNKNOWN')
    await rejectsWith(run.answer('call/000001/m001', true), 'STEP_UNKNOWN')
    await rejectsWith(runtime.get('nobody').answer(question.id, true), 'RUN_NOT_FOUND')
    assert.deepEqual(await readPending(runtime), [question])
    await run.answer(question.id, true)
    assert.equal(await output(), 'paid 50 to Ada')
    await runtime.close()
  })

  test('of the model is answered as its schema wants', async () => {
    const { runtime, run, output } = await begin(agentOf(callHuman))
    const { id, kind, text } = await only(runtime)
    assert.deepEqual([kind, text], ['question', 'When?'])
    await rejectsWith(run.answer(id, { day: 'Monday', seats: 0 }), 'ANSWER_INVALID')
    await run.answer(id, { day: 'Monday', seats: 2 })
    assert.equal(await output(), '{"day":"Monday","seats":2}')
    await runtime.close()
  })

  test('waits on its own: the calls beside it go on, and each answer reaches its call', async () => {
    paid.length = 0
    const { runtime, run, output } = await begin(agentOf(callPay('Ada'), callPay('Bob', 1), callHuman, callPay('Cleo')))
    const pending = await untilPending(runtime, 3)
    await eventually('the call that needs nobody', () => paid.length === 1)
    const idOf = (part: string) => pending.find(({ id }) => id.includes(part))?.id ?? ''
    await run.answer(idOf('pay_Cleo'), true)
    await run.answer(idOf('ask_1'), { day: 'Friday', seats: 1 })
    await run.answer(idOf('pay_Ada'), false)
    assert.equal(
      await output(),
      'A person denied this call of `pay`. It was not executed. No reason was given. | paid 1 to Bob | {"day":"Friday","seats":1} | paid 50 to Cleo',
    )
    await runtime.close()
  })

  test('waits over a restart, and its model is not asked again', async () => {
    const first = await begin(agentOf(callPay('Ada')))
    const question = await only(first.runtime)
    await first.runtime.close()
    const agent = agentOf(callPay('Ada'))
    const second = await begin(agent, first.directory)
    assert.deepEqual(await readPending(second.runtime), [question])
    await second.run.answer(question.id, true)
    assert.equal(await second.output(), 'paid 50 to Ada')
    assert.equal(agent.model.calls, 1)
    await second.runtime.close()
  })

  test('is answered while its run is not in memory: it leaves that, and comes back for the answer', async () => {
    const { runtime, run, output } = await begin(agentOf(callPay('Ada')), undefined, { passivate: { afterMs: 0 } })
    const { id } = await only(runtime)
    await eventually('it is out of memory', () => isOutOfMemory(runtime, id))
    assert.equal((await readPending(runtime)).length, 1)
    await rejectsWith(run.answer(id, 'yes'), 'ANSWER_INVALID')
    await eventually('it is out of memory again', () => isOutOfMemory(runtime, id))
    await run.answer(id, true)
    assert.equal(await output(), 'paid 50 to Ada')
    assert.equal(runtime.events.filter(({ type }) => type === 'question.asked').length, 1)
    await runtime.close()
  })

  test('is answered in a process that does not resume the run', async () => {
    const { runtime, directory } = await begin(agentOf(callPay('Ada')))
    const { id } = await only(runtime)
    await runtime.close()
    const between = await room.open(directory, [agentOf(callPay('Ada')).machine], { autoResume: false })
    await between.get('run').answer(id, true)
    assert.deepEqual(await readPending(between), [])
    await between.close()
    const after = await begin(agentOf(callPay('Ada')), directory)
    assert.equal(await after.output(), 'paid 50 to Ada')
    await after.runtime.close()
  })

  test('of a session is answered on disk before the turn is asked for again, as far as its schema tells', async () => {
    const directory = room.directory()
    const first = await room.open(directory, [])
    const turn = first
      .durable(agentOf(callPay('Ada'), callHuman))
      .session('one')
      .run('go')
    turn.catch(() => {})
    await untilPending(first, 2)
    await first.close()

    const between = await room.open(directory, [])
    const session = between.get('default/one')
    const [ask, approval] = await readPending(between, { run: 'default/one' })
    assert.deepEqual([ask?.kind, approval?.kind], ['question', 'approval'])
    assert.ok(ask !== undefined && approval !== undefined)
    await rejectsWith(session.answer(ask.id, { day: 'Monday', seats: 'two' }), 'ANSWER_INVALID')
    await rejectsWith(session.answer(approval.id, 'yes'), 'ANSWER_INVALID')
    assert.equal((await readPending(between)).length, 2)
    await session.answer(ask.id, { day: 'Monday', seats: 2 })
    await settledWith(session.answer(ask.id, { day: 'Monday', seats: 2 }), true)
    await settledWith(session.answer(ask.id, { day: 'Monday', seats: 3 }), false)
    // That 5,000 are too many only the tool can tell.
    await session.answer(approval.id, { approved: true, arguments: { to: 'Ada', euros: 5000 } })
    assert.deepEqual(await readPending(between), [])
    await between.close()

    const second = await room.open(directory, [])
    const again = second
      .durable(agentOf(callPay('Ada'), callHuman))
      .session('one')
      .run('go')
    const asked = await only(second)
    assert.equal(asked.id, approval.id)
    assert.match(asked.refused ?? '', /euros/)
    await second.get('default/one').answer(approval.id, { approved: true, arguments: { to: 'Ada', euros: 99 } })
    assert.match((await again).output, /paid 99 to Ada \| \{"day":"Monday","seats":2\}$/)
    await second.close()
  })

  test('of every kind of run is listed in one list, before and after a restart, by run where that is asked', async () => {
    const directory = room.directory()
    const agent = agentOf(callPay('Ada'))
    const begin = (runtime: Runtime) => {
      const flow = runtime.flow('book', async (_input: undefined, { ask }) => ask('Which?', z.enum(['a', 'b'])))
      const promises = [runtime.durable(agentOf(callHuman)).session('one').run('go'), flow.run(undefined, { id: 'flow' })]
      for (const promise of promises) promise.catch(() => {})
      return promises
    }
    const listed = ['default/one question askHuman', 'flow question ask', 'run approval pay']
    const list = (pending: Awaited<ReturnType<typeof readPending>>) =>
      pending.map(({ runId, kind, name }) => `${runId} ${kind} ${name}`).sort()
    const first = await room.open(directory, [agent.machine])
    await first.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    begin(first)
    const before = await untilPending(first, 3)
    assert.deepEqual(list(before), listed)
    await first.close()

    const second = await room.open(directory, [agent.machine], { autoResume: false })
    assert.deepEqual(await readPending(second), before)
    assert.deepEqual(list(await readPending(second, { run: 'flow' })), ['flow question ask'])
    assert.deepEqual(await readPending(second, { run: 'fl' }), [])
    const answers: Readonly<Record<string, unknown>> = { run: true, flow: 'b', 'default/one': { day: 'Monday', seats: 1 } }
    for (const { runId, id } of before) await second.get(runId).answer(id, answers[runId])
    const [turn, flow] = await Promise.all(begin(second))
    assert.deepEqual([(turn as { output: string }).output, flow], ['{"day":"Monday","seats":1}', 'b'])
    assert.equal(((await second.get('run').done()) as { output: string }).output, 'paid 50 to Ada')
    assert.deepEqual(await readPending(second), [])
    await second.close()
  })

  test('is withdrawn when its run is cancelled', async () => {
    const { runtime, run } = await begin(agentOf(callPay('Ada')))
    const { id } = await only(runtime)
    await run.cancel('never mind')
    assert.deepEqual(await readPending(runtime), [])
    await rejectsWith(run.answer(id, true), 'STEP_UNKNOWN')
    assert.ok(runtime.events.some(({ type }) => type === 'question.withdrawn'))
    await runtime.close()
  })

  test('is withdrawn when its turn is aborted, and asked again when the turn is', async () => {
    const runtime = await room.open(room.directory(), [])
    const session = runtime.durable(agentOf(callPay('Ada'))).session('one')
    const abort = new AbortController()
    const turn = session.run('go', { signal: abort.signal })
    const { id } = await only(runtime)
    abort.abort()
    await rejectsWith(turn, 'ABORTED')
    assert.deepEqual(await readPending(runtime), [])
    await rejectsWith(runtime.get(session.runId).answer(id, true), 'STEP_UNKNOWN')
    const again = session.run('go')
    assert.equal((await only(runtime)).id, id)
    await runtime.get(session.runId).answer(id, true)
    assert.equal((await again).output, 'paid 50 to Ada')
    await runtime.close()
  })

  test('is withdrawn when a message of the user interrupts', async () => {
    const { runtime, run } = await begin(agentOf(callPay('Ada')))
    const { id } = await only(runtime)
    await (run as ReturnType<Runtime['get']>).send({ type: 'interrupt', text: 'Stop!' })
    await eventually('another is asked', async () => (await readPending(runtime))[0]?.id !== id || undefined)
    const pending = await readPending(runtime)
    assert.ok(pending.every((question) => question.id !== id))
    await rejectsWith(run.answer(id, true), 'STEP_UNKNOWN')
    await runtime.close()
  })

  test('of a turn that was cut off keeps the turn after it waiting', async () => {
    const directory = room.directory()
    const first = await room.open(directory, [])
    const turn = first
      .durable(agentOf(callPay('Ada')))
      .session('one')
      .run('go', { id: 'm1' })
    turn.catch(() => {})
    await only(first)
    await first.close()
    const second = await room.open(directory, [])
    const session = second.durable(agentOf(callPay('Bob', 1))).session('one')
    const other = session.run('another', { id: 'm2' })
    const { id } = await only(second)
    await second.get(session.runId).answer(id, false)
    assert.equal((await other).output, 'paid 1 to Bob')
    assert.equal(
      (await session.run('go', { id: 'm1' })).output,
      'A person denied this call of `pay`. It was not executed. No reason was given.',
    )
    await second.close()
  })

  test('is gone with its run', async () => {
    const { runtime, directory } = await begin(agentOf(callPay('Ada')))
    await only(runtime)
    await runtime.delete('run')
    assert.deepEqual(await readPending(runtime), [])
    await runtime.close()
    const again = await room.open(directory, [])
    assert.deepEqual(await readPending(again), [])
    await again.close()
  })
})
