/** What happens to the process itself: signals, a limit, a clock, a sleep. The world goes on, or stops by a named error, and nothing acknowledged is lost. */
import assert from 'node:assert/strict'
import { cp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { openLevelStore } from 'perdure'
import { eventKey } from '../../src/persistence/keys.ts'
import type { Hold, Living, Said } from '../support/fault-child.ts'
import { counterIds } from '../support/fault-expected.ts'
import { missing } from '../support/fault-tools.ts'
import { createFaultWorld, stopOf } from '../support/fault-world.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())
const toWorld = (sizes = {}) => createFaultWorld({ directory: room.path('store'), effects: room.path('effects'), ...sizes })

/** Long enough for a signal to find it asleep. */
const sleepMs = 400
const moments: readonly Hold[] = ['model', 'tool', 'step', 'approval', 'question', 'sleep']
/** Does something to the process once it is at this moment. */
const at =
  (moment: Hold | 'blocked', act: (living: Living) => void) =>
  (said: Said, living: Living): void => {
    if (said.type === 'at' && said.moment === moment) act(living)
  }

describe('SIGTERM, and a program that closes its runtime on it', () => {
  for (const hold of moments)
    it(`in the state \`${hold}\`, stops in order and goes on in the next life`, async () => {
      const world = toWorld({ sleepMs })
      const life = await world.live({ hold, closesOn: 'SIGTERM' }, { onSaid: at(hold, (living) => living.kill('SIGTERM')) })
      assert.equal(stopOf(life)?.code, 'asked to end', life.stderr)
      assert.ok(life.said.some(({ type }) => type === 'closed'))
      await world.assertWhole()
    })
})

describe('SIGINT, and a program that does not listen', () => {
  for (const hold of moments)
    it(`in the state \`${hold}\`, ends it as a crash does`, async () => {
      const world = toWorld({ sleepMs })
      const life = await world.live({ hold }, { onSaid: at(hold, (living) => living.kill('SIGINT')) })
      assert.equal(life.signal, 'SIGINT')
      await world.assertWhole()
    })
})

it('an event loop that is blocked for 10 s only takes longer', async () => {
  const world = toWorld({ restMs: 500 })
  const life = await world.live({ blockMs: 10_000 })
  assert.ok(life.said.some((said) => said.type === 'at' && said.moment === 'blocked'))
  world.assertEnd(life)
  await world.assertWhole()
})

describe('a process without', { skip: missing('sh') }, () => {
  for (const limit of [24, 28, 32, 40])
    it(`file descriptors but ${limit} comes to its end or stops by a named error`, async () => {
      const world = toWorld()
      const life = await world.live({}, { wrapper: ['sh', '-c', `ulimit -n ${limit}; exec "$@"`, 'sh'] })
      const stopped = stopOf(life)
      if (stopped !== undefined) assert.match(stopped.code, /^STORE_(NOT_WRITABLE|WRITE_FAILED)$/, stopped.message)
      else if (life.said.length > 0) world.assertEnd(life)
      else assert.match(life.stderr, /EMFILE|too many open files/i) // not even Node starts
      await world.assertWhole()
    })

  it('memory is ended, and goes on with more of it', async () => {
    const world = toWorld({ events: 60, padBytes: 300_000 })
    const life = await world.live({}, { nodeOptions: ['--max-old-space-size=32', '--max-semi-space-size=1'] })
    assert.match(life.stderr, /heap out of memory|heap limit/i)
    assert.ok(life.said.every(({ type }) => type !== 'result'))
    await world.assertWhole()
  })
})

describe('a clock', { skip: missing('faketime') }, () => {
  const faked = (shift: string) => ({
    wrapper: ['faketime', '-f', shift],
    env: { FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' },
  })
  const dieAsleep = { onSaid: at('sleep', (living) => living.kill('SIGKILL')) }

  it('that jumps ahead by a year finds every deadline overdue, and meets each once', async () => {
    const world = toWorld({ rounds: 1, sleepMs: 3_600_000 })
    const asleep = await world.live({ hold: 'sleep' }, dieAsleep)
    assert.equal(asleep.signal, 'SIGKILL')
    world.assertEnd(await world.live({}, faked('+365d')))
    await world.assertWhole()
  })

  it('that was a year ahead and is set back lets a sleep last no longer than it was to', async () => {
    const world = toWorld({ rounds: 1, sleepMs: 3_000 })
    const awaited = new Set(['sleep', ...counterIds])
    const asleep = await world.live(
      { hold: 'sleep' },
      {
        ...faked('+365d'),
        onSaid(said, living) {
          if (said.type === 'at') awaited.delete(said.moment)
          if (said.type === 'settled') for (const id of counterIds) if (said.name.startsWith(`step ${id}#`)) awaited.delete(id)
          if (awaited.size === 0) living.kill('SIGKILL') // the counters are done, and it sleeps
        },
      },
    )
    assert.equal(asleep.signal, 'SIGKILL')
    await world.assertWhole()
  })
})

describe('a second process', () => {
  it('is refused by STORE_LOCKED, and the first loses nothing by it', async () => {
    const world = toWorld()
    let second: Promise<unknown> | undefined
    const first = await world.live(
      { hold: 'tool' },
      {
        onSaid: at('tool', (living) => {
          second = createFaultWorld({ directory: world.directory, effects: room.path('effects') })
            .live()
            .then((life) => {
              assert.equal(stopOf(life)?.code, 'STORE_LOCKED')
              assert.ok(life.said.every(({ type }) => type !== 'acknowledged'))
            })
            .finally(() => living.kill('SIGKILL'))
        }),
      },
    )
    await second
    assert.equal(first.signal, 'SIGKILL')
    await world.assertWhole()
  })

  it('that takes over from an owner that sleeps: when that one wakes, it is refused by STORE_FENCED and acknowledges only what was on disk before', async () => {
    const world = toWorld({ events: 60 })
    const acknowledged: Record<string, number[]> = {}
    const started: string[] = []
    const copy = room.path('store')
    let count = 0
    let isHeld = false
    let isTaken = false
    let isAwake = false
    const saidAwake: Said[] = []
    const taking = Promise.withResolvers<void>()
    const takeOver = async (living: Living): Promise<void> => {
      try {
        await new Promise((resolve) => setTimeout(resolve, 100)) // what it had said before is heard
        await cp(world.directory, copy, { recursive: true, filter: (path) => !/LOCK$|\.sock$/.test(path) })
        await rm(join(world.directory, 'LOCK'))
        world.assertEnd(await world.live({ life: 2, started, acknowledged }))
      } finally {
        isAwake = true
        living.kill('SIGCONT')
      }
    }
    const slept = await world.live(
      { hold: 'tool' },
      {
        onSaid(said, living) {
          if (isAwake) saidAwake.push(said)
          if (said.type === 'started') started.push(said.id)
          if (said.type === 'acknowledged') {
            acknowledged[said.id] = [...(acknowledged[said.id] ?? []), said.n]
            count++
          }
          isHeld ||= said.type === 'at' && said.moment === 'tool'
          if (count < 20 || !isHeld || isTaken) return
          isTaken = true
          living.freeze()
          takeOver(living).then(taking.resolve, taking.reject)
        },
      },
    )
    await taking.promise
    assert.equal(stopOf(slept)?.code, 'STORE_FENCED', slept.stderr)
    const onDisk = await openLevelStore(copy)
    try {
      for (const said of saidAwake)
        if (said.type === 'acknowledged') assert.ok(await onDisk.get(eventKey(said.id, `${said.n}`)), `${said.id}: ${said.n}`)
    } finally {
      await onDisk.close()
    }
    assert.deepEqual(
      saidAwake.filter(({ type }) => type === 'settled' || type === 'result'),
      [],
    )
    await world.assertWhole()
  })
})
