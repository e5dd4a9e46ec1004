import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'

const read = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')

/** The members of the union `PerdureErrorCode`, from its source: types leave nothing to import. */
async function readCodes(): Promise<string[]> {
  const [, union] = /export type PerdureErrorCode =((?:\s*\|\s*'[A-Z_]+')+)/.exec(await read('src/errors.ts')) ?? []
  assert.ok(union, 'src/errors.ts has no union PerdureErrorCode that can be read')
  return [...union.matchAll(/'([A-Z_]+)'/g)].map(([, code = '']) => code)
}

test('docs/errors.md has a heading for every error code, and for nothing else', async () => {
  const codes = await readCodes()
  const headings = [...(await read('docs/errors.md')).matchAll(/^### (.+)$/gm)].map(([, heading = '']) => heading)
  assert.deepEqual(headings.toSorted(), codes.toSorted())
})

test('every error code in docs/errors.md has an example message and says what its details hold', async () => {
  const sections = (await read('docs/errors.md')).split(/^### /m).slice(1)
  for (const section of sections) {
    const [code] = section.split('\n', 1)
    assert.match(section, /^[A-Z_]+\n\n\*[^*]+\*\n/, `${code}: no example message`)
    assert.match(section, /^`details`: .+$/m, `${code}: no line about details`)
  }
})

test('every error code is thrown somewhere', async () => {
  const root = new URL('../../src/', import.meta.url)
  const files = (await readdir(root, { recursive: true })).filter((file) => file.endsWith('.ts') && file !== 'errors.ts')
  const sources = (await Promise.all(files.map((file) => read(`src/${file}`)))).join('\n')
  const unused = (await readCodes()).filter((code) => !sources.includes(`'${code}'`))
  assert.deepEqual(unused, [])
})
