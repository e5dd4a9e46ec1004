/** A campaign that finds nothing says something only if it finds what is wrong: here the runtime is broken, one promise at a time. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { plantedBugs } from './planted-bugs.ts'

const toPath = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

describe('the campaign finds it when', { concurrency: 2 }, () => {
  for (const { name, promise, subject, counter } of plantedBugs)
    test(`${name} (${promise})`, { timeout: 120_000 }, async () => {
      const args = ['--conditions=perdure/source', '--import', toPath('./plant.ts'), toPath('./explore-one.ts'), subject]
      const env = { ...process.env, PLANTED_BUG: name }
      const { stdout } = await promisify(execFile)(process.execPath, args, { env })
      const counts = JSON.parse(stdout) as Readonly<Record<string, number>>
      assert.ok((counts[counter] ?? 0) > 0, `${counter} is 0: ${stdout}`)
    })
})
