/** P2, P3 and P12 for a tree of agents, by death: a real SIGKILL at each moment at which one of them may be, and a second process that takes up what it left. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openaiServer } from 'perdure/testing'
import { type ChildAppReport, type ChildMoment, childMoments } from '../support/child-app-moments.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/child-app.ts', import.meta.url))

/** Lives the program once. `undefined`: it killed itself. */
function live(...args: readonly string[]): Promise<ChildAppReport | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH },
    })
    let said = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve(undefined)
      else if (code === 0) resolve(JSON.parse(said))
      else reject(new Error(`The program ended with ${code ?? signal}: ${errors}`))
    })
  })
}

/** Which of them asks, and of which tool. */
const tools = { boss: 'lead', lead: 'worker', worker: 'write' } as const
type Name = keyof typeof tools

interface Expected {
  /** The requests that each of them makes in the second life. */
  readonly asked: Partial<Readonly<Record<Name, number>>>
  /** How often the line is written in all. */
  readonly written: number
  /** The model calls that were in flight and are paid again. */
  readonly again: number
  /** What the parent paid in the second life, and what it was spared. */
  readonly paid: readonly [paid: number, reused: number]
  readonly doubts: readonly string[]
}

const recovered = ['tool lead recovered']
const expected: Readonly<Record<ChildMoment, Expected>> = {
  // The request that was in flight counts as a call: it may have been billed.
  'in the model call of the grandchild': {
    asked: { worker: 1, lead: 1, boss: 1 },
    written: 1,
    again: 1,
    paid: [4, 3],
    doubts: recovered,
  },
  'in the tool of the grandchild': {
    asked: { worker: 1, lead: 1, boss: 1 },
    written: 2,
    again: 0,
    paid: [3, 3],
    doubts: recovered,
  },
  'when the grandchild has ended': { asked: { lead: 1, boss: 1 }, written: 1, again: 0, paid: [2, 4], doubts: recovered },
  'in the model call of the child': { asked: { lead: 1, boss: 1 }, written: 1, again: 1, paid: [3, 4], doubts: recovered },
  'when the child has ended': { asked: { boss: 1 }, written: 1, again: 0, paid: [1, 5], doubts: recovered },
  'when the parent has the answer': {
    asked: { boss: 1 },
    written: 1,
    again: 1,
    paid: [2, 5],
    doubts: ['model gpt-5-mini retried'],
  },
}

describe('a tree of three agents whose process is killed', { concurrency: 3 }, () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  const check = async (moment: ChildMoment, owner: 'session' | 'machine'): Promise<void> => {
    let isFirst = true
    const asked: Partial<Record<Name, number>> = {}
    await using server = await openaiServer({
      script({ systemPrompt, messages }) {
        const name = /^You are (\w+)\.$/.exec(systemPrompt)?.[1] as Name // there are no others
        if (!isFirst) asked[name] = (asked[name] ?? 0) + 1
        const last = messages.at(-1)
        if (last?.role !== 'tool') {
          const args = name === 'worker' ? { line: 'one' } : { prompt: 'Write it.' }
          return { toolCalls: [{ name: tools[name], arguments: args }] }
        }
        const dies = {
          boss: 'when the parent has the answer',
          lead: 'in the model call of the child',
          worker: 'in the model call of the grandchild',
        }
        return isFirst && dies[name] === moment ? { fault: 'hang' } : { text: `${name}: ${last.content}` }
      },
    })
    const directory = room.path('store')
    const effects = `${directory}.effects`
    assert.equal(await live(directory, server.url, effects, moment, owner), undefined, 'it dies')
    isFirst = false
    const report = await live(directory, server.url, effects, '', owner)

    const { asked: requests, written, again, paid, doubts } = expected[moment]
    assert.equal(report?.said, 'boss: lead: worker: wrote one')
    assert.deepEqual(asked, requests, 'what had settled is not asked again')
    const lines = readFileSync(effects, 'utf8').trim().split('\n')
    assert.equal(lines.length, written)
    assert.equal(new Set(lines).size, 1, 'one key for all attempts')
    assert.deepEqual(report.spent, { modelCalls: 6 + again, toolCalls: 3 }, 'each call counts once')
    if (owner === 'machine') return
    assert.deepEqual(report.finished.at(-1), ['boss/s', ...paid])
    assert.deepEqual(report.doubts, doubts)
  }

  for (const moment of childMoments)
    test(`goes on where it was, and nothing that had settled is done again: ${moment}`, () => check(moment, 'session'))
  for (const moment of childMoments)
    test(`goes on where it was below the run of a machine: ${moment}`, () => check(moment, 'machine'))
})
