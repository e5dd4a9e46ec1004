/**
 * P1, P2 and P4 by death: a flow of branches in a child process is killed by SIGKILL at random moments until it completes, many times over. What had settled
 * is not executed again, an event that was acknowledged is taken once, and the result is that of a run that never died.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/flow-app.ts', import.meta.url))
const KILLS = Number(process.env.PERDURE_KILLS ?? 16)
const MAX_DEATHS = 12

let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

/** Runs the program and kills it once it has said `deathAfter` lines; never: it lives to its end. */
function live(args: readonly string[], deathAfter: number): Promise<{ readonly killed: boolean; readonly output: unknown }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH },
    })
    let lines = 0
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
        lines++
        if (lines === deathAfter) child.kill('SIGKILL')
      }
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve({ killed: true, output })
      else if (code === 0) resolve({ killed: false, output })
      else reject(new Error(`The program ended with ${code}: ${errors}`))
    })
  })
}

const expected = [
  [
    ['first x', 'first turn!', 'second turn!'],
    ['second x', 1, 'third turn!', 2],
    ['yes', ['third x', 'fourth x']],
    [null, 'fifth x'],
  ],
  'last x',
]

test(`branches survive ${KILLS} deaths`, { timeout: 180_000 }, async (t) => {
  let kills = 0
  for (let round = 0; kills < KILLS; round++) {
    const directory = room.path('store')
    const effects = `${directory}.effects`
    let output: unknown
    for (let deaths = 0; output === undefined; deaths++) {
      const life = await live(
        [directory, effects],
        deaths < MAX_DEATHS ? 1 + ((round * 7 + deaths * 5) % 23) : Number.POSITIVE_INFINITY,
      )
      if (life.killed) kills++
      output = life.output
    }
    assert.deepEqual(output, expected)
    const lines = existsSync(effects) ? readFileSync(effects, 'utf8').trim().split('\n') : []
    const settled = new Set<string>()
    for (const line of lines) {
      if (line.startsWith('settled ')) settled.add(line.slice('settled '.length))
      else assert.ok(!settled.has(line), `\`${line}\` was executed again after it had settled`)
    }
  }
  t.diagnostic(`${kills} deaths`)
})
