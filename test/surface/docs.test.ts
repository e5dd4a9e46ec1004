/** Every `ts` block of README.md and docs/ that begins with an import of the package is compiled and run, as it is printed there. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ModelRequest } from 'perdure'
import { type OpenAIServer, openaiServer, type ScriptedAnswer } from 'perdure/testing'
import { runProgram } from '../support/program.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

interface Snippet {
  /** Where it is: the page and the line of its first line. */
  readonly name: string
  readonly code: string
}

async function readSnippets(page: string): Promise<Snippet[]> {
  const text = await readFile(join(root, page), 'utf8')
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].flatMap(({ 1: code = '', index }) => {
    if (!/^import [^\n]* from 'perdure(\/[a-z]+)?'/.test(code)) return []
    return [{ name: `${page}:${text.slice(0, index).split('\n').length + 1}`, code }]
  })
}

const pages = [
  'README.md',
  ...(await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
]
const snippets = (await Promise.all(pages.map(readSnippets))).flat()

/** What is asked for in an example's tools is called once a turn; then it answers. */
const calls: Readonly<Record<string, object>> = { exec: { command: 'echo hello' }, add: { a: 17, b: 4 } }

function anyModel({ messages, tools }: ModelRequest): ScriptedAnswer {
  const last = messages.at(-1)
  const toolCalls = tools.flatMap(({ name }) => (calls[name] === undefined ? [] : [{ name, arguments: calls[name] }]))
  if (last?.role === 'user' && toolCalls.length > 0) return { toolCalls }
  return { text: `An answer to "${last?.content}".` }
}

describe('the code in the docs', () => {
  let room: TempRoom
  let folder: string
  let server: OpenAIServer

  const toPath = ({ name }: Snippet): string => join(folder, `${name.replace(/\W/g, '-')}.ts`)
  const run = async (snippet: Snippet, env: Readonly<Record<string, string>> = {}, cwd = room.path('cwd')) => {
    await mkdir(cwd, { recursive: true })
    return runProgram(toPath(snippet), { cwd, env: { OPENAI_BASE_URL: server.url, ...env } })
  }

  before(async () => {
    room = await createTempRoom()
    folder = await mkdtemp(join(root, '.snippets-')) // below the package, so that `perdure` means the package itself
    server = await openaiServer({ script: anyModel })
    for (const snippet of snippets) await writeFile(toPath(snippet), snippet.code)
  })
  after(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
    await room.remove()
  })

  test('README.md and docs/errors.md have code', () => {
    for (const page of ['README.md', 'docs/errors.md'])
      assert.ok(
        snippets.some(({ name }) => name.startsWith(page)),
        `${page} has no block that begins with an import of perdure`,
      )
  })

  test('it compiles', async () => {
    const config = { extends: '../tsconfig.json', include: ['*.ts'], compilerOptions: { noUnusedLocals: false } }
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config))
    const compiler = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [compiler, '-p', folder]).catch((error) => error)
    assert.equal(stdout + stderr, '')
  })

  for (const snippet of snippets) {
    test(`${snippet.name} runs`, async () => {
      const { exitCode, stdout, stderr } = await run(snippet)
      assert.equal(exitCode, 0, `${stderr}\n${stdout}`)
    })
  }

  test('the first program of README.md, killed after turn 1 and started again, asks for turn 2 only', async () => {
    const [first] = snippets
    assert.ok(first)
    assert.match(first.name, /^README/)
    const cwd = room.path('crash')
    const killed = await run(first, { CRASH: '1' }, cwd)
    assert.equal(killed.signal, 'SIGKILL', killed.stderr)
    const asked = server.requests.length
    const resumed = await run(first, {}, cwd)
    assert.equal(resumed.exitCode, 0, resumed.stderr)
    const prompts = server.requests
      .slice(asked)
      .map(({ request }) => request.messages.findLast(({ role }) => role === 'user')?.content)
    assert.deepEqual([...new Set(prompts)], ['Now write it up in five lines.'])
  })
})
