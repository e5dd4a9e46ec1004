/** Every program in examples/ runs offline to its end, with a store of its own. */
import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Ended, runProgram } from '../support/program.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const folder = fileURLToPath(new URL('../../examples/', import.meta.url))
const examples = (await readdir(folder)).filter((name) => name.endsWith('.ts'))

describe('examples', () => {
  let room: TempRoom
  let cwd: string
  const run = (name: string, env: Readonly<Record<string, string>>): Promise<Ended> =>
    runProgram(join(folder, name), { cwd, env: { PERDURE_LOG: 'json', ...env } })

  before(async () => {
    room = await createTempRoom()
    cwd = room.path('repository')
    await mkdir(cwd)
    await writeFile(join(cwd, 'README.md'), '# A small repository\n\nOf two files.\n')
    await writeFile(join(cwd, 'index.ts'), 'export {}\n')
  })
  after(() => room.remove())

  for (const name of examples) {
    test(`${name} runs offline`, async () => {
      const { exitCode, stdout, stderr } = await run(name, { PERDURE_DIR: room.path() })
      assert.equal(exitCode, 0, stderr)
      assert.notEqual(stdout, '')
    })
  }

  for (const CHECKPOINT of ['turn', 'calls']) {
    test(`01-durable-agent.ts fails between its turns, returns turn 1 from the store, and pays again when told to (${CHECKPOINT})`, async () => {
      const env = { PERDURE_DIR: room.path(), CHECKPOINT }

      const failed = await run('01-durable-agent.ts', { ...env, FORCE_FAILURE: '1' })
      assert.equal(failed.exitCode, 1, failed.stderr)
      assert.equal(failed.stdout, '')
      assert.match(failed.stderr, /FORCE_FAILURE is set/)
      assert.deepEqual(readCheckpoints(failed), ['checkpoint.started default', 'checkpoint.finished default'])

      const resumed = await run('01-durable-agent.ts', env)
      assert.equal(resumed.exitCode, 0, resumed.stderr)
      assert.match(resumed.stdout, /^Report on this repository\n.*Files: 2.*A small repository/s)
      assert.deepEqual(readCheckpoints(resumed), [
        'checkpoint.reused default',
        'checkpoint.started default_2',
        'checkpoint.finished default_2',
      ])

      const again = await run('01-durable-agent.ts', { ...env, DISABLE_CACHE: '1' })
      assert.equal(again.exitCode, 0, again.stderr)
      assert.equal(again.stdout, resumed.stdout)
      assert.deepEqual(readCheckpoints(again), [
        'checkpoint.started default',
        'checkpoint.finished default',
        'checkpoint.started default_2',
        'checkpoint.finished default_2',
      ])
    })
  }
})

/** What the log says about checkpoints, in order. */
function readCheckpoints({ stderr }: Ended): string[] {
  return stderr.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return []
    const event: { readonly type: string; readonly checkpoint?: string } = JSON.parse(line)
    return event.type.startsWith('checkpoint.') ? [`${event.type} ${event.checkpoint}`] : []
  })
}
