/** A store that is damaged while nobody has it open: it is opened whole, or refused by a named error; it is never repaired silently, and what is put back is taken up again (P9). */
import assert from 'node:assert/strict'
import { cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { createFaultWorld, stopOf } from '../support/fault-world.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

/** The newest file of this kind in a store. */
async function newest(directory: string, kind: RegExp): Promise<string> {
  const name = (await readdir(directory))
    .filter((each) => kind.test(each))
    .sort()
    .at(-1)
  assert.ok(name !== undefined, `no file ${kind}`)
  return join(directory, name)
}

const flip = async (file: string, at: (length: number) => number): Promise<void> => {
  const bytes = await readFile(file)
  const index = at(bytes.length)
  bytes.writeUInt8(bytes.readUInt8(index) ^ 0x40, index)
  await writeFile(file, bytes)
}
/** What is done to the store, and whether more than the last of its writes is gone: that must be named. The last of them may never have been written, for all that LevelDB can tell. */
interface Damage {
  readonly what: string
  readonly isNamed: boolean
  readonly damage: (directory: string) => Promise<unknown>
}
const log = (directory: string): Promise<string> => newest(directory, /\.log$/)
const manifest = (directory: string): Promise<string> => newest(directory, /^MANIFEST/)
const damages: readonly Damage[] = [
  {
    what: 'a flipped byte in the middle of its log',
    isNamed: true,
    damage: async (directory) => flip(await log(directory), (length) => length >> 1),
  },
  {
    what: 'a flipped byte near the beginning of its log',
    isNamed: true,
    damage: async (directory) => flip(await log(directory), () => 20),
  },
  { what: 'no log', isNamed: true, damage: async (directory) => rm(await log(directory)) },
  { what: 'an empty log', isNamed: true, damage: async (directory) => truncate(await log(directory), 0) },
  { what: 'no MANIFEST', isNamed: true, damage: async (directory) => rm(await manifest(directory)) },
  {
    what: 'a flipped byte in its MANIFEST',
    isNamed: true,
    damage: async (directory) => flip(await manifest(directory), (length) => length >> 1),
  },
  {
    what: 'a log that ends in its middle',
    isNamed: false,
    damage: async (directory) => {
      const file = await log(directory)
      await truncate(file, (await readFile(file)).length >> 1)
    },
  },
  {
    what: 'a flipped byte near the end of its log',
    isNamed: false,
    damage: async (directory) => flip(await log(directory), (length) => length - 300),
  },
]

describe('a store with', () => {
  for (const { what, isNamed, damage } of damages)
    it(`${what} ${isNamed ? 'is refused by name' : 'is as it was at a moment before'}, and goes on from a backup`, async () => {
      const world = createFaultWorld({ directory: room.path(), effects: room.path('effects'), events: 40, padBytes: 2_000 })
      let acknowledged = 0
      const life = await world.live(
        {},
        { onSaid: ({ type }, living) => void (type === 'acknowledged' && ++acknowledged === 90 && living.kill('SIGKILL')) },
      )
      assert.equal(life.signal, 'SIGKILL')
      const backup = room.path('backup')
      await cp(world.directory, backup, { recursive: true, filter: (path) => !path.endsWith('.sock') })
      await damage(world.directory)

      const damaged = await world.live({ started: [], acknowledged: {} }) // all that was sent is sent again
      if (isNamed) {
        assert.match(stopOf(damaged)?.code ?? 'nothing', /^(STORE|RUN)_CORRUPT$/)
        assert.deepEqual(
          damaged.said.filter((said) => said.type === 'blocked' && said.code !== 'RUN_CORRUPT'),
          [],
        )
      } else world.assertEnd(damaged)

      await rm(world.directory, { recursive: true })
      await cp(backup, world.directory, { recursive: true })
      world.forget(damaged)
      await world.assertWhole()
    })
})
