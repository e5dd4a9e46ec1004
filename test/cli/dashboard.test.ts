/** `perdure dashboard` as a process: what it says of the store, and how it ends. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openRuntime } from 'perdure'
import { createTempRoom } from '../support/temp-room.ts'

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const room = await createTempRoom()
after(() => room.remove())

describe('`perdure dashboard`', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    it(`ends in order at ${signal}, and says before that it holds a store that nobody had open`, async () => {
      const directory = room.path()
      await (await openRuntime({ directory, log: 'silent' }))[Symbol.asyncDispose]()
      const args = ['--conditions=perdure/source', '--disable-warning=ExperimentalWarning', main, 'dashboard', '--dir', directory]
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
      const said = text(child.stderr)
      const ended = once(child, 'exit')
      await once(child.stdout, 'data')
      child.kill(signal)
      assert.deepEqual(await ended, [0, null])
      assert.match(await said, /holds the store until it ends/)
    })
})
