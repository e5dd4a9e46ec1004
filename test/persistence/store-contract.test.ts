import { after } from 'node:test'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import { storeContract } from '../../src/testing/store-contract.ts'
import { takeOver } from '../support/store-child.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

storeContract('memory', openMemoryStore)
storeContract('LevelDB', async () => openLevelStore(room.path()), {
  reopen: openLevelStore,
  supersede: async (location) => (await takeOver(location)).finish,
})
