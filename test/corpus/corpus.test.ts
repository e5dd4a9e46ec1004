/** Stores that this and earlier versions left on disk: every run goes on to its end (P10), and what is damaged says so (P9). See README.md. */
import assert from 'node:assert/strict'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { isPerdureError, type RuntimeEvent } from 'perdure'
import { type TestClock, testClock } from 'perdure/testing'
import type { AgentContext } from '../../src/machines/agent.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { loadHead } from '../../src/persistence/run-log.ts'
import { loadSnapshotLog } from '../../src/persistence/snapshots.ts'
import { createCorpusAgent, createCorpusFlows } from '../support/corpus-agents.ts'
import { type CorpusCode, corpusTime, createCorpusMachines, createParked, createValues, DAY } from '../support/corpus-machines.ts'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { keysIn } from '../support/stored-run.ts'

const MINUTE = 60_000
const corpus = fileURLToPath(new URL('.', import.meta.url))
const entries = await readdir(corpus, { withFileTypes: true })
const versions = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)

test('the corpus has a folder for each format', () => {
  assert.ok(versions.includes('1'))
  assert.deepEqual(
    versions.filter((name) => !/^[1-9]\d*$/.test(name)),
    [],
  )
})

const idsOf = (events: readonly RuntimeEvent[], type: RuntimeEvent['type']): string[] =>
  events.filter((event) => event.type === type).map(({ runId }) => runId)

/** The computer sleeps: nobody hears of the minutes in between. */
const leap = async (clock: TestClock, ms: number): Promise<void> => {
  clock.set(clock.now() + ms - MINUTE)
  await clock.advance(MINUTE)
}

for (const version of versions) {
  describe(`stores of format ${version}`, () => {
    let room: MachineRoom
    before(async () => {
      room = await createMachineRoom()
    })
    after(() => room.remove())

    /** A copy of the store. */
    const copy = async (name: string): Promise<string> => {
      const directory = room.directory()
      await cp(join(corpus, version, name), directory, { recursive: true })
      return directory
    }
    const openMachines = async (directory: string, autoResume = true) => {
      const code: CorpusCode = { hang: false, said: [] }
      const machines = createCorpusMachines(code)
      const clock = testClock({ now: corpusTime + DAY })
      const registered = [...Object.values(machines), createParked('1'), createParked('2')]
      const runtime = await room.open(directory, registered, { clock, autoResume })
      return { ...code, machines, clock, runtime }
    }

    test('hold the runs that they held', async () => {
      const { runtime } = await openMachines(await copy('machines'), false)
      const infos: Record<string, string> = {}
      for await (const { id, status } of runtime.runs()) infos[id] = status
      assert.deepEqual(infos, {
        cancelled: 'cancelled',
        completed: 'completed',
        failed: 'failed',
        keeper: 'running',
        'list/ä b': 'running',
        parked: 'incompatible',
        receiver: 'running',
        sender: 'running',
        sleeper: 'running',
        stepper: 'running',
      })
      await runtime.close()
    })

    test('a run that waits with timers, children and all kinds of values goes on', async () => {
      const { runtime, clock, said, machines } = await openMachines(await copy('machines'))
      const keeper = runtime.get<typeof machines.keeper>('keeper')
      const { context } = await keeper.snapshot()
      assert.deepEqual(context.values, createValues())
      await runtime.resume()
      assert.deepEqual(
        said.filter((line) => line === 'line'),
        ['line'],
      )
      const rung = keeper.waitFor((snapshot) => snapshot.context.rung.length === 2)
      await leap(clock, 9 * DAY - 1)
      assert.deepEqual((await keeper.snapshot()).context.rung, [])
      await clock.advance(1)
      assert.deepEqual((await rung).context.rung.toSorted(), ['invoked', 'spawned'])
      const done = keeper.done()
      await leap(clock, 20 * DAY)
      assert.deepEqual((await done) as object, { values: createValues(), rung: (await rung).context.rung })
      const awake = runtime.get('sleeper').done()
      await leap(clock, 10 * DAY)
      assert.equal(await awake, 'awake')
      await runtime.close()
    })

    test('a run with a base and deltas has its state, and the ids of what it took', async () => {
      const { runtime, machines } = await openMachines(await copy('machines'), false)
      const list = runtime.get<typeof machines.list>('list/ä b')
      await list.send({ type: 'add', item: 'again' }, { id: 'e/39' })
      await list.send({ type: 'add', item: 'new' }, { id: 'e/40' })
      await list.send({ type: 'end' })
      const items = (await list.done()) as readonly string[]
      assert.equal(items.length, 41)
      assert.deepEqual(
        items.slice(0, 40),
        Array.from({ length: 40 }, (_, n) => `item ${n} ${'x'.repeat(40)}`),
      )
      assert.equal(items.at(-1), 'new')
      await runtime.close()
    })

    test('the messages in an inbox are taken, in their order', async () => {
      const { runtime } = await openMachines(await copy('machines'))
      assert.deepEqual(await runtime.get('receiver').done(), [1, 2, 3, 4, 5])
      assert.deepEqual(idsOf(runtime.events, 'message.dropped'), [])
      await runtime.close()
      // Asked for, it takes them too.
      const { runtime: quiet } = await openMachines(await copy('machines'), false)
      assert.deepEqual(await quiet.get('receiver').done(), [1, 2, 3, 4, 5])
      await quiet.close()
    })

    test('a step in doubt is executed once more, one that has settled is not, a promise is', async () => {
      const { runtime, said } = await openMachines(await copy('machines'))
      assert.deepEqual(await runtime.get('stepper').done(), [
        { key: 'stepper#quick#1', at: new Date(corpusTime) },
        'RangeError: broken',
        'stepper#slow#3',
      ])
      assert.deepEqual(said.filter((line) => line !== 'line').toSorted(), ['promise', 'slow 2'])
      await runtime.close()
    })

    test('runs that came to their end tell how', async () => {
      const { runtime, machines } = await openMachines(await copy('machines'))
      assert.deepEqual(await runtime.get('completed').done(), { at: new Date(corpusTime), map: new Map([['a', 1n]]) })
      await assert.rejects(runtime.get('failed').done(), { name: 'RangeError', message: 'as told' })
      assert.equal((await runtime.get('failed').snapshot()).status, 'error')
      await assert.rejects(runtime.get('cancelled').done(), { code: 'RUN_CANCELLED', message: /no longer needed/ })
      for (const id of ['completed', 'failed', 'cancelled']) {
        await rejectsWith(runtime.get<typeof machines.ender>(id).send({ type: 'end' }), 'RUN_ENDED')
        await runtime.start(machines.ender, { id, input: { big: 1n } })
        await rejectsWith(runtime.start(machines.ender, { id, input: { big: 2n } }), 'RUN_CONFLICT')
        assert.equal(await runtime.delete(id), true)
      }
      await runtime.close()
    })

    test('a parked run stays so until its machine is there', async () => {
      const directory = await copy('machines')
      const later = await room.open(directory, [createParked('2')], { autoResume: false })
      await assert.rejects(later.get('parked').snapshot(), (error) => {
        assert.ok(isPerdureError(error, 'RUN_INCOMPATIBLE'))
        assert.match(String(error.details.missing), /old/)
        return true
      })
      await later.close()
      const { runtime } = await openMachines(directory, false)
      await runtime.get('parked').send({ type: 'go' } as never)
      assert.equal(await runtime.get('parked').done(), 'over')
      await runtime.close()
    })

    const openAgents = async (directory: string) => {
      const code: CorpusCode = { hang: false, said: [] }
      const agent = createCorpusAgent(code)
      const clock = testClock({ now: corpusTime + DAY })
      const runtime = await room.open(directory, [agent.machine], { clock, autoResume: false })
      return { ...code, agent, clock, runtime, ...createCorpusFlows(runtime, agent, code) }
    }

    test('a flow that was half way pays for nothing twice', async () => {
      const { runtime, report, said } = await openAgents(await copy('agents'))
      assert.deepEqual(await report.run({ topic: 'topic' }, { id: 'report' }), [corpusTime, 'topic!', 'noted a, noted b', 8n])
      assert.deepEqual(said, ['note b', 'model 6', 'end'])
      await runtime.close()
    })

    test('a flow that sleeps sleeps on', async () => {
      const { runtime, nap, said, clock } = await openAgents(await copy('agents'))
      let isOver = false
      const slept = nap.run(undefined, { id: 'nap' }).finally(() => {
        isOver = true
      })
      while (clock.pending === 0) await new Promise(setImmediate)
      await leap(clock, 29 * DAY - 1)
      assert.equal(isOver, false)
      await clock.advance(1)
      assert.deepEqual(await slept, ['before', 'after'])
      assert.deepEqual(said, [])
      await runtime.close()
    })

    test('a session goes on in the middle of a turn, and so does an agent that is a run', async () => {
      const { runtime, session, said, agent } = await openAgents(await copy('agents'))
      assert.deepEqual((await session.run('hello', { id: 'm1' })).output, 'hello!')
      assert.deepEqual(said, [])
      assert.deepEqual((await session.run('notes', { id: 'm2' })).output, 'noted a, noted b')
      assert.deepEqual(said.splice(0), ['note b', 'model 6'])
      const run = runtime.get<typeof agent.machine>('agent')
      await run.send({ type: 'prompt', text: 'notes' }, { id: 'm1' })
      const { context } = await run.waitFor('ready')
      assert.equal(context.messages.at(-1)?.content, 'noted a, noted b')
      assert.deepEqual(said, ['note b', 'model 4'])
      await runtime.close()
    })

    test('a session of long answers has them all', { skip: Number(version) < 3 && 'from format 3 on' }, async () => {
      const directory = await copy('agents')
      const { runtime, letters, said } = await openAgents(directory)
      assert.equal((await letters.run('bye', { id: 'bye' })).output, 'bye!')
      assert.deepEqual(said, ['model 7'])
      await runtime.close()
      const store = await openLevelStore(directory)
      const head = await loadHead(store, 'corpus/letters')
      assert.ok(head)
      const { value } = await loadSnapshotLog(store, head.id, head.snapshot)
      await store.close()
      const { messages } = (value as { readonly actor: { readonly context: AgentContext } }).actor.context
      const sent = [1, 2, 3].map((n) => `letter ${n} ${'y'.repeat(600)}`)
      assert.deepEqual(
        messages.map(({ content }) => content),
        [...sent, 'bye'].flatMap((text) => [text, `${text}!`]),
      )
    })

    /** Changes records of the copy. */
    const change = async (directory: string, pattern: RegExp, how: (bytes: Uint8Array) => void): Promise<void> => {
      const store = await openLevelStore(directory)
      const keys = (await keysIn(store)).filter((key) => pattern.test(key))
      assert.ok(keys.length > 0, `no record ${pattern}`)
      const key = keys[Math.floor(keys.length / 2)] ?? ''
      const value = new Uint8Array((await store.get(key)) ?? [])
      how(value)
      await store.write([{ type: 'put', key, value }])
      await store.close()
    }
    const flip = (bytes: Uint8Array): void => {
      const at = Math.floor(bytes.byteLength / 2)
      bytes[at] = (bytes[at] ?? 0) ^ 0x10
    }
    const age = (bytes: Uint8Array): void => {
      bytes[0] = 9
    }
    const damages = [
      ['a head', /^h\/list/, 'list/ä b'],
      ['a base', /^r\/list[^/]*\/b$/, 'list/ä b'],
      ['a delta', /^r\/list[^/]*\/d\//, 'list/ä b'],
      ['a step in flight', /^r\/stepper\/s\/.*slow/, 'stepper'],
      ['a message', /^i\/receiver\//, 'receiver'],
    ] as const
    const harms = [
      ['a flipped bit', flip, 'RUN_CORRUPT'],
      ['a newer format', age, 'STORE_FORMAT_NEWER'],
    ] as const
    /** Those that are brought into memory when the store opens. */
    const needsWork: ReadonlySet<string> = new Set(['stepper', 'receiver'])
    for (const [what, pattern, damaged] of damages)
      for (const [harm, how, code] of harms)
        test(`${harm} in ${what} stops its run, and no other`, async () => {
          const directory = await copy('machines')
          await change(directory, pattern, how)
          const { runtime, machines } = await openMachines(directory)
          await runtime.resume()
          const results: Record<string, unknown> = {}
          const tell = (id: string, result: Promise<unknown>): Promise<void> =>
            result.then(
              () => {
                results[id] = 'goes on'
              },
              (error: unknown) => {
                results[id] = isPerdureError(error) ? error.code : error
              },
            )
          const list = runtime.get<typeof machines.list>('list/ä b')
          await tell('list/ä b', list.send({ type: 'end' }))
          await tell('stepper', runtime.get('stepper').done())
          await tell('keeper', runtime.get('keeper').snapshot())
          await tell('receiver', runtime.get('receiver').done({ timeoutMs: 10 * DAY }))
          assert.deepEqual([...new Set(idsOf(runtime.events, 'run.blocked'))], needsWork.has(damaged) ? [damaged] : [])
          assert.deepEqual(results, {
            'list/ä b': 'goes on',
            stepper: 'goes on',
            keeper: 'goes on',
            receiver: 'goes on',
            [damaged]: code,
          })
          await runtime.close()
        })
  })
}
