/**
 * Each machine of the campaign, and some that nobody has written: its runs are replayed, of a program that never died and of one that died several times. Each comes to the same. P5
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { MachineEntry } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { loadHeads } from '../../src/persistence/run-log.ts'
import type { Store } from '../../src/persistence/store.ts'
import { readRecording } from '../../src/replay/recording.ts'
import { replayRun } from '../../src/replay/replay-run.ts'
import { createRandom } from '../../src/testing/explore/random.ts'
import { runScenario } from '../../src/testing/explore/scenario.ts'
import { type Schedule, toScheduleText } from '../../src/testing/explore/schedule.ts'
import { listSubjects, toRandomSubject } from '../campaign/subjects.ts'

/** Today's machine is another than that which took the first events. */
const changed = ['machines/migrated']
const randomSeeds = Array.from({ length: 6 }, (_, index) => index + 1)
const subjects = [
  ...listSubjects().filter(({ kind, name }) => kind === 'machines' && !changed.includes(name)),
  ...randomSeeds.map(toRandomSubject),
]

/** Plays the subject and replays its runs: says how many there were, and where they diverge. */
async function replayAll(subject: CrashSubject, schedule: Schedule) {
  let store: Store | undefined
  let machines: readonly MachineEntry[] = []
  const watched: CrashSubject = (life) =>
    subject({
      ...life,
      open(options = {}) {
        machines = options.machines ?? []
        return life.open(options)
      },
    })
  const { lives } = await runScenario(watched, schedule, {
    seed: 1,
    timeoutMs: 20_000,
    wrap(opened) {
      store = { ...opened, close: async () => {} }
      return store
    },
  })
  const diverged: string[] = []
  let runs = 0
  if (store === undefined) throw new TypeError('Expected the subject to open its runtime')
  for await (const head of loadHeads(store)) {
    if (!('kind' in head) || head.kind !== 'machine') continue
    runs++
    const { divergences } = await replayRun(await readRecording(store, head.id), { machines, onMiss: 'live' })
    for (const { text } of divergences) diverged.push(`${toScheduleText(schedule)}: ${text}`)
  }
  return { runs, diverged, writes: lives[0]?.writes ?? 0 }
}

describe('the runs of a machine come to the same when they are replayed', () => {
  for (const [index, { name, url }] of subjects.entries())
    test(name, async () => {
      const { subject } = (await import(url)) as { readonly subject: CrashSubject } // each module of the folder exports it
      const alive = await replayAll(subject, [])
      assert.deepEqual(alive.diverged, [])
      assert.ok(alive.runs > 0)
      const random = createRandom(index)
      const draw = (count: number) => Math.floor(random() * count)
      const schedule = Array.from({ length: 3 }, (_, death) => ({
        write: 1 + draw(death === 0 ? alive.writes : 3),
        when: draw(2) === 0 ? ('before' as const) : ('after' as const),
      }))
      assert.deepEqual((await replayAll(subject, schedule)).diverged, [])
    })
})
