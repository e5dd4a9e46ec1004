/** A disk that is full, that fails, that is slow, that loses its power: the world goes on, or stops by a named error, and nothing acknowledged is lost (P1, P9). */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import type { Said } from '../support/fault-child.ts'
import { mountPowerDisk, noPowerDisk } from '../support/fault-power.ts'
import { noStrace } from '../support/fault-tools.ts'
import { createFaultWorld, stopOf } from '../support/fault-world.ts'
import { mountSmallDisk, noSmallDisk } from '../support/small-disk.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())
const toWorld = (directory = room.path('store'), sizes = {}) =>
  createFaultWorld({ directory, effects: room.path('effects'), ...sizes })

describe('a disk that is full', { skip: noSmallDisk }, () => {
  it('stops it by STORE_FULL, also as long as it stays full; once it is freed it goes on where it was', async () => {
    await using disk = await mountSmallDisk(room.path('disk'), '3m')
    const world = toWorld(join(disk.path, 'store'), { events: 200, padBytes: 16_384 })
    await disk.addBallast(1_500_000)
    const first = await world.live()
    assert.equal(stopOf(first)?.code, 'STORE_FULL')
    assert.ok(first.said.filter(({ type }) => type === 'acknowledged').length > 20, 'it was full from the beginning')
    assert.ok(first.said.some(({ type }) => type === 'closed'))
    await disk.addBallast()
    const second = await world.live()
    assert.match(stopOf(second)?.code ?? '', /^STORE_(FULL|WRITE_FAILED)$/)
    await disk.removeBallast()
    disk.grow('32m')
    await world.assertWhole()
  })

  it('and is freed at once, before anybody has opened it again, has taken nothing that was acknowledged', async () => {
    await using disk = await mountSmallDisk(room.path('disk'), '3m')
    const world = toWorld(join(disk.path, 'store'), { events: 120, padBytes: 16_384 })
    let freeing: Promise<void> | undefined
    const free = async (): Promise<void> => {
      await disk.addBallast()
      await disk.removeBallast()
    }
    const onSaid = ({ type }: Said): void => {
      if (type === 'acknowledged') freeing ??= free()
    }
    const life = await world.live({}, { onSaid })
    await freeing
    assert.match(stopOf(life)?.code ?? '', /^STORE_(FULL|WRITE_FAILED)$/)
    disk.grow('32m')
    await world.assertWhole()
  })
})

describe('a disk that fails', { skip: noStrace }, () => {
  for (const when of [2, 9, 20])
    it(`by EIO at sync ${when} stops it by STORE_WRITE_FAILED and it goes on when it is opened again`, async () => {
      const world = toWorld()
      const life = await world.live({}, strace(`fdatasync:error=EIO:when=${when}`))
      assert.match(stopOf(life)?.code ?? '', when === 2 ? /^STORE_NOT_WRITABLE$/ : /^STORE_WRITE_FAILED$/)
      await world.assertWhole()
    })

  it('by EIO at each sync, opening after opening, acknowledges nothing and loses nothing', async () => {
    const world = toWorld()
    await world.live({}, strace('fdatasync:error=EIO:when=20'))
    for (let opening = 0; opening < 2; opening++) {
      const life = await world.live({}, strace('fdatasync:error=EIO'))
      assert.match(stopOf(life)?.code ?? '', /^STORE_/)
      assert.deepEqual(
        life.said.filter(({ type }) => type === 'acknowledged' || type === 'settled'),
        [],
      )
    }
    await world.assertWhole()
  })

  it('by being slow, 40 ms for each sync, only takes longer', async () => {
    const world = toWorld(undefined, { events: 6, rounds: 1 })
    const life = await world.live({}, strace('fdatasync:delay_enter=40000'))
    assert.equal(stopOf(life), undefined)
    await world.assertWhole()
  })
})

describe('a power cut', { skip: noPowerDisk() }, () => {
  for (const acknowledged of [1, 20])
    it(`after ${acknowledged} acknowledged events takes none of them`, async () => {
      await using disk = await mountPowerDisk(room.path('disk'))
      const world = toWorld(join(disk.path, 'store'))
      let count = 0
      const life = await world.live(
        {},
        {
          onSaid({ type }, living) {
            if (type !== 'acknowledged' || ++count !== acknowledged) return
            living.freeze() // the processor has no power either: it does not live to see a disk that is gone
            disk.cutPower()
            living.kill('SIGKILL')
          },
        },
      )
      assert.ok(life.said.every(({ type }) => type !== 'result'))
      disk.restore()
      await world.assertWhole()
    })
})

/** Syncs are counted by thread: with one, the n-th of the process is the n-th of its thread. */
function strace(injection: string) {
  const wrapper = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', `inject=${injection}`]
  return { wrapper, env: { UV_THREADPOOL_SIZE: '1' } }
}
