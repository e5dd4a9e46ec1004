/** What importing the package loads. How long that takes is measured by bench/import.ts: a time is no test. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
const flags = ['--conditions=perdure/source', '--input-type=module', '--eval']

/** The packages whose files are read when a new process imports `specifier`. */
async function readLoadedPackages(specifier: string): Promise<string[]> {
  const program = `
    import { registerHooks } from 'node:module'
    const urls = []
    registerHooks({ load: (url, context, next) => (urls.push(url), next(url, context)) })
    await import('${specifier}')
    console.log(JSON.stringify(urls))`
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program], { cwd: root })
  const urls: string[] = JSON.parse(stdout)
  assert.ok(
    urls.some((url) => url.includes('/src/')),
    'The hook saw no file of Perdure: what it says means nothing',
  )
  const packages = urls.flatMap((url) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [])
  return [...new Set(packages)].toSorted()
}

for (const specifier of ['perdure', 'perdure/testing']) {
  test(`importing \`${specifier}\` loads neither openai, execa, the price list nor the database`, async () => {
    const loaded = await readLoadedPackages(specifier)
    const late = ['openai', 'execa', '@pydantic/genai-prices', 'level', 'classic-level', 'memory-level']
    assert.deepEqual(
      loaded.filter((name) => late.includes(name)),
      [],
    )
  })
}

test('importing `perdure` loads no package but these', async () => {
  const early = ['@xstate/store', 'msgpackr', 'msgpackr-extract', 'xstate', 'zod']
  const loaded = await readLoadedPackages('perdure')
  assert.deepEqual(
    loaded.filter((name) => !early.includes(name)),
    [],
  )
})
