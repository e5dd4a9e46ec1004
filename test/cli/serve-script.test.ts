import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { readLedger } from 'perdure/testing'
import { runServeScript, type ServeScriptCommand } from '../../src/cli/serve-script.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

async function write(name: string, text: string): Promise<string> {
  const file = `${room.path()}-${name}`
  await writeFile(file, text)
  return file
}

const ask = async (url: string, content: string): Promise<string> => {
  const response = await fetch(`${url.trim()}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content }] }),
  })
  const { choices, error } = (await response.json()) as {
    readonly choices?: readonly { readonly message: { readonly content: string } }[]
    readonly error?: { readonly message: string }
  }
  return choices?.[0]?.message.content ?? error?.message ?? ''
}

/** Runs the command until `use` is done with the URL. */
async function serve(command: ServeScriptCommand, use: (url: string) => Promise<void> = async () => {}) {
  const interrupted = new AbortController()
  const served = Promise.withResolvers<string>()
  const said: string[] = []
  const ended = runServeScript(command, { out: served.resolve, err: (text) => said.push(text) }, interrupted.signal)
  await Promise.race([ended, served.promise.then(use)])
  interrupted.abort()
  return { code: await ended, err: said.join('') }
}

describe('`perdure serve-script`', () => {
  it('serves a JSON file until it is interrupted, as a process', async () => {
    const file = await write('two.json', '["Hello.", { "text": "Bye." }]')
    const ledger = `${room.path()}.ledger`
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const args = ['--conditions=perdure/source', main, 'serve-script', file, '--port', '0', '--ledger', ledger]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(child, 'exit')
    const [url] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/v1\n$/)
    assert.deepEqual([await ask(url, 'a'), await ask(url, 'b')], ['Hello.', 'Bye.'])
    child.kill('SIGINT')
    assert.deepEqual(await ended, [0, null])
    assert.equal((await readLedger(ledger)).length, 4)
  })

  it('serves what a module exports, also a function', async () => {
    const file = await write('echo.mjs', 'export const script = ({ messages }, call) => call + ": " + messages.at(-1).content')
    const { code, err } = await serve({ file }, async (url) => assert.equal(await ask(url, 'ping'), '1: ping'))
    assert.deepEqual([code, err], [0, ''])
  })

  it('says what was not as the script has it', async () => {
    const file = await write('left.json', '["One.", "Two.", "Three."]')
    const left = await serve({ file }, async (url) => assert.equal(await ask(url, 'a'), 'One.'))
    assert.deepEqual(left, {
      code: 1,
      err: 'perdure serve-script: The script has 3 answers; 2 were never asked for, from answer 2 on.\n',
    })
    const beyond = await serve({ file: await write('none.json', '[]') }, async (url) => void (await ask(url, 'a')))
    assert.deepEqual(beyond, { code: 1, err: 'perdure serve-script: The script has 0 answers; 1 were asked for.\n' })
    const refused = await serve(
      { file: await write('none.json', '[]') },
      async (url) => void (await fetch(`${url.trim()}/nothing`)),
    )
    assert.deepEqual(refused, {
      code: 1,
      err: 'perdure serve-script: GET /v1/nothing was refused with 404: Invalid URL (GET /v1/nothing)\n',
    })
  })

  it('refuses what is no script, and a port that is taken', async () => {
    const cases = [
      ['object.json', '{}', /^perdure serve-script: Expected .*object\.json to be an array of answers, got object\n$/],
      ['numbers.json', '["a", 1]', /Expected answer 2 of .*numbers\.json to be a text or an object, got `1`\n$/],
      ['broken.json', '[', /The script .*broken\.json cannot be loaded: /],
      ['empty.mjs', '', /Expected .*empty\.mjs to export `script`, an array of answers or a function, got undefined\n$/],
      ['throws.mjs', 'throw new Error("boom\\nmore")', /The script .*throws\.mjs cannot be loaded: boom\n$/],
    ] as const
    for (const [name, text, message] of cases) {
      const { code, err } = await serve({ file: await write(name, text) })
      assert.equal(code, 2)
      assert.match(err, message)
    }
    const file = await write('one.json', '["a"]')
    await serve({ file }, async (url) => {
      const taken = await serve({ file, port: Number(new URL(url).port) })
      assert.equal(taken.code, 2)
      assert.match(taken.err, /EADDRINUSE/)
    })
  })

  it('refuses a port that is none', async () => {
    const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
    const child = spawn(process.execPath, ['--conditions=perdure/source', main, 'serve-script', 'x.json', '--port', '70000'])
    const [[said], ended] = await Promise.all([once(child.stderr.setEncoding('utf8'), 'data'), once(child, 'exit')])
    assert.match(String(said), /argument '70000' is invalid\. Expected a port from 0 to 65535\./)
    assert.deepEqual(ended, [2, null])
  })
})
