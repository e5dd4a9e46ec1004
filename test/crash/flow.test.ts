/**
 * P1 to P5 by death: a flow in a child process is killed by SIGKILL at random moments until it completes, many times over, and
 * what the server and the tools saw is held against what the store had recorded before each death.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type OpenAIServer, openaiServer } from 'perdure/testing'
import { crashScript } from '../support/crash-script.ts'
import { readJournal } from '../support/journal.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/crash-app.ts', import.meta.url))

/** A small deterministic generator (mulberry32), so that a failure can be run again by its seed. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

interface Life {
  readonly killed: boolean
  /** Checkpoints that were said to be finished. */
  readonly finished: readonly string[]
  readonly output: unknown
}

/** Runs the program and kills it once it has said `deathAfter` lines and `delayMs` have passed; never: it lives to its end. */
function live(args: readonly string[], deathAfter: number, delayMs: number): Promise<Life> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH },
    })
    let lines = 0
    const finished: string[] = []
    let output: unknown
    let text = ''
    let errors = ''
    child.stderr.on('data', (chunk) => {
      errors += chunk
    })
    child.stdout.on('data', (chunk) => {
      text += chunk
      const complete = text.split('\n')
      text = complete.pop() ?? ''
      for (const line of complete) {
        const said = JSON.parse(line)
        if (said.type === 'result') output = said.output
        if (said.type === 'checkpoint.finished') finished.push(said.checkpoint)
        lines++
        if (lines === deathAfter) setTimeout(() => child.kill('SIGKILL'), delayMs)
      }
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve({ killed: true, finished, output })
      else if (code === 0) resolve({ killed: false, finished, output })
      else reject(new Error(`The program ended with ${code}: ${errors}`))
    })
  })
}

/** The server's ids of answers hold the beginning of the conversation's key. */
const toConversation = (id: string): string => id.replace(/^[a-z]+[-_]/, '').slice(0, 24)

interface Campaign {
  kills: number
  /** Settled calls that were asked for again (P2). */
  repeatedCalls: string[]
  /** Settled effects that happened again (P2). */
  doubledEffects: string[]
  /** Effects of which the store knew nothing (P3). */
  unintendedEffects: string[]
  /** Checkpoints that were said to be finished and were not on the disk (P1). */
  lostCheckpoints: string[]
  outputs: unknown[]
}

/** Kills runs until `kills` deaths have happened; each run is started again until it completes. */
async function campaign(
  strategy: 'calls' | 'turn',
  kills: number,
  seed: number,
  server: OpenAIServer,
  room: TempRoom,
): Promise<Campaign> {
  const random = createRandom(seed)
  const result: Campaign = {
    kills: 0,
    repeatedCalls: [],
    doubledEffects: [],
    unintendedEffects: [],
    lostCheckpoints: [],
    outputs: [],
  }
  while (result.kills < kills) {
    const directory = room.path('store')
    const effects = `${directory}.effects`
    const args = [directory, server.url, strategy, effects]
    const settledRequests = new Set<string>()
    const settledEffects = new Map<string, number>()
    for (let deaths = 0; ; deaths++) {
      const seen = server.requests.length
      const life = await live(
        args,
        deaths < 12 ? 1 + Math.floor(random() * 40) : Number.POSITIVE_INFINITY,
        Math.floor(random() * 4),
      )
      const ran = existsSync(effects) ? readFileSync(effects, 'utf8').trim().split('\n') : []
      for (const { key } of server.requests.slice(seen))
        if (settledRequests.has(toConversation(key))) result.repeatedCalls.push(key)
      for (const [key, count] of settledEffects)
        if (ran.filter((line) => line === key).length !== count) result.doubledEffects.push(key)
      if (!life.killed) {
        result.outputs.push(life.output)
        break
      }
      result.kills++
      if (!existsSync(join(directory, 'CURRENT'))) {
        assert.deepEqual(ran, [])
        continue
      }
      const journal = await readJournal(directory)
      for (const key of ran) {
        // Under `turn` a turn that starts over gives up the records of its calls.
        const intent = strategy === 'turn' ? key.replace(/#call\/(\d+)\..*/, '#turn/$1') : key
        if (key !== '' && !journal.has(intent)) result.unintendedEffects.push(key)
      }
      const settled = new Set([...journal.values()].filter(({ status }) => status === 'ok').map(({ name }) => name))
      for (const checkpoint of life.finished) if (!settled.has(checkpoint)) result.lostCheckpoints.push(checkpoint)
      for (const [key, record] of journal) {
        if (record.status !== 'ok') continue
        const turn = journal.get(key.replace(/#call\/(\d+)\..*/, '#turn/$1'))
        // Under `turn` only what belongs to a finished turn is a checkpoint.
        if (strategy === 'turn' && turn?.status !== 'ok') continue
        if (record.kind === 'model') {
          const { responseId } = record.value as { responseId: string } // a model call's answer
          settledRequests.add(toConversation(responseId))
        } else if (record.kind === 'tool' || record.kind === 'step')
          settledEffects.set(key, ran.filter((line) => line === key).length)
      }
    }
  }
  return result
}

describe('a flow that is killed at random moments', { concurrency: true }, () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  for (const { strategy, kills, seed } of [
    { strategy: 'calls', kills: 40, seed: 1 },
    { strategy: 'turn', kills: 40, seed: 2 },
  ] as const) {
    test(`never asks for a settled call again and comes to the same result (${strategy}, seed ${seed}, ${kills} kills)`, async () => {
      await using server = await openaiServer({ script: crashScript })
      const directory = room.path('reference')
      const reference = await live([directory, server.url, strategy, `${directory}.effects`], Number.POSITIVE_INFINITY, 0)
      const { kills: died, outputs, ...wrong } = await campaign(strategy, kills, seed, server, room)
      assert.ok(died >= kills)
      assert.deepEqual(wrong, { repeatedCalls: [], doubledEffects: [], unintendedEffects: [], lostCheckpoints: [] })
      for (const output of outputs) assert.deepEqual(output, reference.output)
    })
  }
})
