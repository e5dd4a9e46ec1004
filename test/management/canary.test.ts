/** A key of the provider is nowhere: not in the store, in what is logged, in what goes over the socket, in an export (P11). */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, stat } from 'node:fs/promises'
import { connect as openSocket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { methods } from '../../src/management/methods.ts'
import { packValue, readFrames } from '../../src/management/wire.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { toArray } from '../support/managed-store.ts'
import { keyCanary } from '../support/model-call.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'
import { createWireServer, toJsonAnswer, toSse, type WireAnswer } from '../support/wire-server.ts'

const app = fileURLToPath(new URL('../support/canary-app.ts', import.meta.url))
const RUN = 'worker/one'

const toChoice = (delta: unknown, finish: string | null = null): unknown => ({
  id: 'c',
  model: 'm',
  choices: [{ index: 0, finish_reason: finish, delta }],
})
const print = {
  name: 'exec',
  arguments: JSON.stringify({ command: 'env; cat /proc/self/environ /proc/$PPID/environ | tr "\\0" "\\n"' }),
}
const refusal = { error: { message: `Incorrect API key provided: ${keyCanary}.`, code: 'invalid_api_key', param: keyCanary } }
const answers: readonly WireAnswer[] = [
  {
    body: toSse(
      toChoice({ tool_calls: [{ index: 0, id: 'call1', type: 'function', function: print }] }),
      toChoice({}, 'tool_calls'),
    ),
  },
  { body: toSse(toChoice({ content: 'Printed.' }), toChoice({}, 'stop')) },
  toJsonAnswer(refusal, 401, { 'x-echo': keyCanary }),
  { body: toSse(toChoice({ content: 'Half' })), ending: 'cut' },
  toJsonAnswer({ error: { message: `Busy, ${keyCanary}` } }, 503, { 'x-echo': keyCanary }),
]

/** How a key may be spelled. */
const spellings = [keyCanary, encodeURIComponent(keyCanary), JSON.stringify(keyCanary).slice(1, -1).replaceAll('/', '\\/')]
const encoded = [keyCanary, `Bearer ${keyCanary}`].flatMap((text) => [
  Buffer.from(text).toString('base64'),
  Buffer.from(text).toString('hex'),
])

function assertNone(bytes: Uint8Array | string, where: string): void {
  const text = Buffer.from(bytes).toString('latin1')
  for (const spelling of [...spellings, ...encoded]) assert.ok(!text.includes(spelling), `The key is in ${where}`)
}

async function* filesIn(directory: string): AsyncGenerator<string> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const found = await stat(path)
    if (found.isDirectory()) yield* filesIn(path)
    else if (found.isFile()) yield path
  }
}

/** All bytes of the answer to a request. */
async function ask(socketPath: string, method: string, args: readonly unknown[]): Promise<Buffer> {
  const socket = openSocket(socketPath)
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  const body = packValue(args)
  socket.write(`POST /${method} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.byteLength}\r\n\r\n`)
  socket.write(body)
  await once(socket, 'close')
  return Buffer.concat(chunks)
}

const questions: Readonly<Record<string, readonly unknown[]>> = {
  runs: [],
  run: [RUN],
  steps: [RUN],
  pending: [],
  stream: [RUN, { follow: false }],
  transcript: [RUN],
  snapshot: [RUN],
  machine: [RUN],
  verify: [],
  export: [RUN],
  stats: [],
  gc: [],
  info: [],
}
/** They change a run, and give nothing; `events` has what is logged; `import` takes. */
const silent = ['answer', 'send', 'cancel', 'settle', 'resume', 'fork', 'delete', 'events', 'import']

describe('a key of the provider', { skip: process.platform === 'win32' && 'commands have another shell there' }, () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  for (const how of ['an option of the model', 'OPENAI_API_KEY'] as const)
    test(`given as ${how} is nowhere`, async (t) => {
      const server = await createWireServer(...answers)
      t.after(() => server.close())
      const directory = room.path()
      const given = how === 'OPENAI_API_KEY' ? [] : [keyCanary]
      const child = spawn(process.execPath, ['--conditions=perdure/source', app, directory, server.baseUrl, ...given], {
        env: { PATH: process.env.PATH, ...(given.length === 0 && { OPENAI_API_KEY: keyCanary }) },
      })
      t.after(() => void child.kill())
      let said = ''
      const ready = Promise.withResolvers<void>()
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text: string) => {
          said += text
          if (text.includes('ready\n')) ready.resolve()
        })
      await ready.promise

      assert.ok(
        server.requests.every(({ headers }) => headers.authorization === `Bearer ${keyCanary}`),
        'the provider is given it',
      )
      assert.ok(server.requests.length >= answers.length)
      assert.match(said, /MODEL_UNAUTHORIZED/)
      assert.deepEqual([...Object.keys(questions), ...silent].sort(), Object.keys(methods).sort())
      for (const [method, args] of Object.entries(questions)) {
        const bytes = await ask(join(directory, 'perdure.sock'), method, args)
        assert.match(bytes.toString('latin1'), /^HTTP\/1.1 200 /)
        assertNone(bytes, `the answer to ${method}`)
        if (method === 'steps') assert.ok(bytes.includes('PATH='), 'the command printed its environment')
        if (method === 'export') await assertNoneInExport(bytes)
      }
      child.stdin.end()
      await once(child, 'close')
      assertNone(said, 'what it wrote')
      let files = 0
      for await (const file of filesIn(directory)) {
        files += 1
        assertNone(await readFile(file), file)
      }
      assert.ok(files > 4)
      const store = await openLevelStore(directory) // what LevelDB compresses
      for await (const [key, bytes] of store.entries({ gte: '', lt: '\u{10ffff}' })) {
        assertNone(key, 'a key')
        assertNone(bytes, key)
      }
      await store.close()
    })
})

/** The records of an export are compressed. */
async function assertNoneInExport(response: Buffer): Promise<void> {
  async function* body(): AsyncGenerator<Uint8Array> {
    // The pieces of HTTP: a length in hexadecimal digits before each.
    for (let at = response.indexOf('\r\n\r\n') + 4; at < response.length; ) {
      const end = response.indexOf('\r\n', at)
      const length = Number.parseInt(response.subarray(at, end).toString(), 16)
      yield response.subarray(end + 2, end + 2 + length)
      at = end + 4 + length
    }
  }
  const frames = await toArray(readFrames(body()))
  const file = Buffer.concat(frames.flatMap((frame) => (frame.kind === 'item' ? [frame.value as Uint8Array] : []))) // `export` gives bytes
  const records = gunzipSync(file.subarray(file.indexOf('\n') + 1, -32))
  assert.ok(records.includes('Print it.'))
  assertNone(records, 'the export')
}
