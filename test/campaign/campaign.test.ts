/** The campaign as it is run at each `npm test`: every program dies at each of its writes; some also as processes. `npm run campaign` is the long one. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type CampaignPlan, counters, isClean, runCampaign, type SubjectResult, toTotals } from './campaign.ts'
import { parseProof, toProof, toTable } from './proof.ts'
import { type CampaignSubject, findSubject } from './subjects.ts'

const small: CampaignPlan = { seed: 1, scenarios: 0, deaths: 0, workers: 2 }
const broken: CampaignSubject = {
  name: 'flows/careless',
  kind: 'flows',
  url: new URL('./broken-subject.ts', import.meta.url).href,
}

function assertClean(results: readonly SubjectResult[]): void {
  const found = results.flatMap(({ name, failures }) =>
    failures.map(({ schedule, problems }) => `${name} \`${schedule}\`: ${problems[0]}`),
  )
  assert.deepEqual(found.slice(0, 5), [])
  assert.ok(isClean(toTotals(results)))
}

describe('the campaign', () => {
  test('no program comes to another end when it dies at one of its writes', { timeout: 300_000 }, async (t) => {
    const results = await runCampaign({ ...small, scenarios: 1 })
    assertClean(results)
    const { subjects, machines, scenarios } = toTotals(results)
    // What happens at once may be one write in one life and two in the next.
    for (const { name, writes, scenarios: died } of results) assert.ok(died >= 2 * (writes - 1), `${name} died at each write`)
    assert.ok(scenarios >= 0.99 * 2 * results.reduce((sum, { writes }) => sum + writes, 0))
    t.diagnostic(`${subjects} programs, ${scenarios} crash scenarios`)
    assert.ok(machines >= 30)
    assert.ok(scenarios > 1_000)
  })

  test('no program comes to another end when its process is killed', { timeout: 300_000 }, async (t) => {
    const names = ['agents/doubt-asked', 'flows/recovered-step', 'machines/reported-step']
    const results = await runCampaign({ ...small, deaths: 20, subjects: names.map(findSubject) })
    assertClean(results)
    const { deaths } = toTotals(results)
    t.diagnostic(`${deaths} process deaths`)
    assert.ok(deaths >= 20)
  })

  test('a program that does things twice is found, and fails again by its schedule', { timeout: 120_000 }, async () => {
    const results = await runCampaign({ ...small, scenarios: 40, subjects: [broken] })
    const { doubledEffects, divergedStates } = toTotals(results)
    assert.ok(doubledEffects > 0)
    assert.equal(divergedStates, 0)
    const [first] = results[0]?.failures ?? []
    assert.match(first?.problems[0] ?? '', /`mail` 2 times instead of once/)
    const again = await runCampaign({ ...small, scenarios: 1, subjects: [broken] })
    assert.deepEqual(again[0]?.failures[0], first)
    assert.match(toTable(results), /^flows\/careless +\d+ +\d+ +0 /m)
  })

  test('prints one object with its counts', { timeout: 120_000 }, async () => {
    const program = fileURLToPath(new URL('../../scripts/campaign.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--conditions=perdure/source',
      program,
      ...['--json', '--size', '5', '--subject', 'machines/after'],
    ])
    const counts = JSON.parse(stdout) as Readonly<Record<string, number>>
    assert.deepEqual(Object.keys(counts), ['scenarios', 'deaths', ...counters, 'seconds'])
    assert.ok((counts.scenarios ?? 0) >= 5 && (counts.deaths ?? 0) >= 5)
  })

  test('writes a page that says what it counted', () => {
    const counts = { repeatedCalls: 1, doubledEffects: 2, lostEvents: 3, divergedStates: 4, stuckRuns: 5 }
    const common = {
      kind: 'machines',
      name: 'machines/after',
      writes: 3,
      inDoubt: 7,
      reported: 0,
      failures: [],
      ...counts,
    } as const
    const results: SubjectResult[] = [
      { ...common, how: 'here', scenarios: 12_345, deaths: 0 },
      { ...common, how: 'processes', scenarios: 0, deaths: 67 },
    ]
    const facts = { seed: 4, size: 9, date: '2030-01-01', node: '24.0.0', machine: 'Linux', seconds: 100 }
    assert.deepEqual(parseProof(toProof(results, facts)), toTotals(results))
  })
})
