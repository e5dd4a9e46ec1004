/** Each life is a process that ends by SIGKILL, on a LevelDB on disk. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { exploreCrashes } from 'perdure/testing'
import { toExecArguments } from '../../src/testing/explore/child-life.ts'
import { findCrashes, nothing, toCounts } from '../support/explore-found.ts'

const order = new URL('../support/explore-order.ts', import.meta.url)
const careless = new URL('../support/explore-careless.ts', import.meta.url)

describe('exploreCrashes with processes', () => {
  test('kills a process at each write, again while it recovers, and at random instants', { timeout: 60_000 }, async () => {
    const report = await exploreCrashes(order, { process: true, pairs: 3, instants: 6 })
    const { name, writes, deaths } = report
    assert.equal(name, 'explore-order')
    assert.equal(writes, 8)
    // A process that is killed at an instant may have come to its end by then.
    assert.ok(deaths >= 2 * 8 + 3 * 2 && deaths <= 2 * 8 + 3 * 2 + 6, `${deaths} deaths`)
    assert.deepEqual(toCounts(report), nothing)
  })

  test('finds what it finds in one process, by the same schedule', { timeout: 60_000 }, async () => {
    const inProcess = await findCrashes(careless, { schedule: '4-' })
    const { failures } = await findCrashes(careless, { schedule: '4-', process: true })
    assert.deepEqual(failures, [{ schedule: '4-', problems: ['The outside saw the effect `parcel` 2 times instead of once.'] }])
    assert.deepEqual(failures, inProcess.failures)
  })

  test('plays a death at an instant as it is shown', { timeout: 60_000 }, async () => {
    const { scenarios, deaths } = await exploreCrashes(order, { process: true, schedule: '0ms 1+ 0ms' })
    assert.deepEqual({ scenarios, deaths }, { scenarios: 1, deaths: 3 })
  })

  test('says what a process wrote that fails', { timeout: 60_000 }, async () => {
    const module = new URL(`data:text/javascript,export const subject = async () => { process.exit(3) }`)
    await assert.rejects(exploreCrashes(module, { process: true }), /fails without any death: Its process failed/)
  })
})

test('a process is started as this one was, but not as a test, with a debugger, or with code of its own', () => {
  const kept = ['--conditions=perdure/source', '--enable-source-maps']
  const dropped = [
    '--test',
    '--test-timeout=20000',
    '--inspect-brk',
    '--watch',
    '--cpu-prof',
    '-e',
    'code',
    '--input-type=module',
  ]
  assert.deepEqual(toExecArguments([...kept, ...dropped]), kept)
})
