/** Stores in which things waited or were in flight when their process ended (formats from 2 on): each goes on as its record and its policy say. */
import assert from 'node:assert/strict'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Pending } from 'perdure'
import { testClock } from 'perdure/testing'
import { createInFlightAgents, createWaitingFlow } from '../support/corpus-in-flight.ts'
import { type CorpusCode, corpusTime, DAY } from '../support/corpus-machines.ts'
import { createMachineRoom, type MachineRoom } from '../support/machine-room.ts'

const corpus = fileURLToPath(new URL('.', import.meta.url))
const entries = await readdir(corpus, { withFileTypes: true })
const versions = entries.filter((entry) => entry.isDirectory() && Number(entry.name) >= 2).map(({ name }) => name)

test('the corpus has what was in flight', () => assert.ok(versions.includes('2')))

for (const version of versions) {
  describe(`what was in flight in format ${version}`, () => {
    let room: MachineRoom
    before(async () => {
      room = await createMachineRoom()
    })
    after(() => room.remove())

    const open = async () => {
      const directory = room.directory()
      await cp(join(corpus, version, 'in-flight'), directory, { recursive: true })
      const code: CorpusCode = { hang: false, said: [] }
      const { clerk, miser, boss } = createInFlightAgents(code)
      const clock = testClock({ now: corpusTime + 1 })
      const machines = [clerk.machine, miser.machine, boss.machine]
      const runtime = await room.open(directory, machines, { clock, autoResume: false })
      const output = async (id: string): Promise<string> => (await runtime.get<typeof clerk.machine>(id).done()).output
      return { runtime, clock, said: code.said, output, waiting: createWaitingFlow(runtime, clerk, code) }
    }
    type Opened = Awaited<ReturnType<typeof open>>
    const pending = async ({ runtime }: Opened): Promise<Record<string, Pending>> => {
      const list: Record<string, Pending> = {}
      for await (const each of runtime.pending()) list[each.runId] = each
      return list
    }

    test('a person is still asked, without any run in memory', async () => {
      const opened = await open()
      const kinds = Object.entries(await pending(opened)).map(([runId, { kind }]) => `${runId}: ${kind}`)
      assert.deepEqual(kinds, ['miser: limit', 'pay: approval', 'waiting: question'])
      assert.deepEqual(opened.said, [])
    })

    test('an approval and a limit are answered', async () => {
      const opened = await open()
      const { pay, miser } = await pending(opened)
      await opened.runtime.get('pay').answer(pay?.id ?? '', { approved: true })
      assert.equal(await opened.output('pay'), 'Told: paid x')
      await opened.runtime.get('miser').answer(miser?.id ?? '', { extend: { steps: 5 } })
      assert.equal(await opened.output('miser'), 'Told: greeted')
      assert.deepEqual(opened.said, ['paid x', 'model 3', 'model 3'])
    })

    test('each step in doubt goes by its policy', async () => {
      const opened = await open()
      assert.match(
        await opened.output('post'),
        /^Told: The process was ended while tool `post` ran, and the outcome is not known/,
      )
      assert.equal(await opened.output('note'), 'Told: noted 2')
      assert.match(await opened.output('find'), /^Told: found find#/)
      const asked = opened.output('ask')
      while ((await pending(opened)).ask === undefined) await new Promise(setImmediate)
      const { ask } = await pending(opened)
      assert.equal(ask?.kind, 'doubt')
      await opened.runtime.get('ask').answer(ask.id, { result: 'it came' })
      assert.equal(await asked, 'Told: it came')
      assert.deepEqual(
        opened.said.filter((said) => !said.startsWith('model')),
        ['noted 2'],
      )
    })

    test('the third attempt is the third, at its time', async () => {
      const opened = await open()
      const done = opened.output('call')
      const connected = (): boolean => opened.said.includes('called 3')
      while (!connected()) await opened.clock.advance(600_000)
      assert.ok(opened.clock.now() > corpusTime + 3_600_000, 'two waits of at least half an hour each')
      assert.equal(await done, 'Told: connected at attempt 3')
      assert.deepEqual(opened.said, ['called 2', 'called 3', 'model 3'])
    })

    test('a child agent goes on under its parent', async () => {
      const opened = await open()
      assert.equal(await opened.output('boss'), 'Clerk: Told: noted 2')
      assert.deepEqual(opened.said, ['noted 2', 'model 3', 'boss 3'])
    })

    test('a flow goes on in all its branches, with the event that it was sent', async () => {
      const opened = await open()
      const { waiting } = await pending(opened)
      const output = opened.waiting.run(undefined, { id: 'waiting' })
      await opened.runtime.get('waiting').answer(waiting?.id ?? '', { yes: true })
      await opened.runtime.get('waiting').send({ type: 'go', n: 1 }, { id: 'go 1' }) // it was sent before
      await opened.runtime.get('waiting').send({ type: 'go', n: 2 })
      while (!opened.said.includes('model 3')) await new Promise(setImmediate)
      opened.clock.set(corpusTime + 10 * DAY - 60_000)
      await opened.clock.advance(60_000)
      assert.deepEqual(await output, [['first', { yes: true }], [{ type: 'go', n: 1 }, 2], [undefined, 'slept'], 'Told: noted 2'])
      assert.deepEqual(opened.said.toSorted(), ['model 3', 'noted 2', 'slept'])
    })
  })
}
