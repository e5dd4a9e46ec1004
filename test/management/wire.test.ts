/** What goes over the socket, and what is thrown at it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as openSocket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { openRuntime, PerdureError, type Runtime } from 'perdure'
import { connect } from 'perdure/client'
import { createMachine } from 'xstate'
import { methods } from '../../src/management/methods.ts'
import { encodeFrame, type Frame, fromWireError, packValue, readFrames, toWireError } from '../../src/management/wire.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { toArray } from '../support/managed-store.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

describe('frames', () => {
  test('come out as they went in, in whatever pieces they arrive', async () => {
    const value = fc.oneof(
      fc.string(),
      fc.constant(undefined),
      fc.array(fc.integer()),
      fc.uint8Array(),
      fc.dictionary(fc.string(), fc.string()),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(value), fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), async (values, sizes) => {
        const frames = values.map((item): Frame => ({ kind: 'item', value: item }))
        const bytes = Buffer.concat(frames.map(encodeFrame))
        async function* pieces() {
          for (let at = 0, count = 0; at < bytes.length; count++) {
            const size = sizes[count % sizes.length] ?? 1
            yield bytes.subarray(at, at + size)
            at += size
          }
        }
        assert.deepEqual(await toArray(readFrames(pieces())), frames)
      }),
    )
  })

  test('that were cut off are left out, and a length that cannot be is refused', async () => {
    const whole = encodeFrame({ kind: 'value', value: 'text' })
    async function* only(bytes: Uint8Array) {
      yield bytes
    }
    for (let length = 0; length < whole.byteLength; length++)
      assert.deepEqual(await toArray(readFrames(only(whole.subarray(0, length)))), [])
    await assert.rejects(toArray(readFrames(only(Buffer.from([255, 255, 255, 255, 0])))), RangeError)
  })

  test('carry errors with what identifies them, and without stack and cause', () => {
    const error = new PerdureError('RUN_ENDED', 'over', { details: { run: 'a' }, cause: new Error('secret') })
    const sent = toWireError(error)
    assert.deepEqual(sent, { code: 'RUN_ENDED', name: 'PerdureError', message: 'over', details: { run: 'a' } })
    const { code, details } = fromWireError(sent) as PerdureError // it has a code
    assert.deepEqual({ code, details }, { code: 'RUN_ENDED', details: { run: 'a' } })
    assert.ok(fromWireError(toWireError(new TypeError('wrong'))) instanceof TypeError)
    assert.equal(fromWireError(toWireError(new RangeError('far'))).name, 'RangeError')
    assert.deepEqual(toWireError('text'), { name: 'Error', message: 'text' })
  })
})

describe('the socket of a store', () => {
  let room: TempRoom
  let runtime: Runtime
  let path: string
  before(async () => {
    room = await createTempRoom()
    const directory = room.path()
    runtime = await openRuntime({ directory, log: 'silent' })
    path = join(directory, 'perdure.sock')
  })
  after(async () => {
    await runtime.close()
    await room.remove()
  })

  /** What comes back for some bytes, until the connection ends. */
  const say = async (bytes: Uint8Array | string, { end = true, at = path } = {}): Promise<string> => {
    const socket = openSocket(at)
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => {})
    if (end) socket.end(bytes)
    else socket.write(bytes)
    await once(socket, 'close')
    return Buffer.concat(chunks).toString('latin1')
  }
  const post = (url: string, body: Uint8Array | string): Buffer =>
    Buffer.concat([Buffer.from(`POST ${url} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n`), Buffer.from(body)])
  const isServing = async (): Promise<void> => {
    const client = await connect(runtime.directory)
    assert.equal((await client.info()).owner.pid, process.pid)
    await client[Symbol.asyncDispose]()
  }

  const cases = [
    ['another method of HTTP', 'GET /info HTTP/1.1\r\nHost: x\r\n\r\n', 405],
    ['an unknown path', post('/shutdown', packValue([])), 404],
    ['a name that every object has', post('/constructor', packValue([])), 404],
    ['a path with a query', post('/info?x', packValue([])), 404],
    ['arguments that are no MessagePack', post('/info', Buffer.from([0xc1])), 400],
    ['arguments that are no array', post('/info', packValue({})), 400],
    ['no arguments at all', post('/info', ''), 400],
    ['bytes without arguments', post('/import', 'x'), 400],
    ['bytes that are no frames', post('/import', Buffer.alloc(8, 255)), 400],
    ['what is no HTTP', 'hello\r\n\r\n', 400],
    ['too many headers', `POST /info HTTP/1.1\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`, 400],
    ['what it serves', post('/info', packValue([])), 200],
  ] as const
  for (const [what, bytes, status] of cases)
    test(`answers ${what} with ${status}`, async () => {
      assert.match(await say(bytes, { end: false }), new RegExp(`^HTTP/1.1 ${status} `))
      await isServing()
    })

  test('refuses arguments of more than 16 MB', async () => {
    assert.match(await say(post('/info', Buffer.alloc(16 * 1024 ** 2 + 1)), { end: false }), /^HTTP\/1.1 413 /)
    await isServing()
  })

  test('withstands rubbish, whole requests that were damaged, and connections that end in the middle', async () => {
    const request = post('/runs', packValue([{ limit: 3 }]))
    for (let count = 0; count < 150; count++) {
      const damaged = Buffer.from(request)
      for (let hits = 0; hits < 3; hits++) damaged[Math.floor(Math.random() * damaged.length)] = Math.floor(Math.random() * 256)
      await Promise.all([say(randomBytes(200)), say(damaged), say(request.subarray(0, count % request.length))])
    }
    await isServing()
  })

  test('withstands arguments of any kind', async () => {
    const any = fc.anything({ withDate: true, withMap: true, withSet: true, withNullPrototype: true })
    const methods = [
      'run',
      'runs',
      'steps',
      'pending',
      'transcript',
      'snapshot',
      'answer',
      'send',
      'cancel',
      'settle',
      'resume',
      'fork',
      'delete',
    ]
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...methods), fc.array(any, { maxLength: 3 }), async (name, args) => {
        let body: Uint8Array
        try {
          body = packValue(args)
        } catch {
          return // no client can send it
        }
        assert.match(await say(post(`/${name}`, body), { end: false }), /^HTTP\/1.1 200 /)
      }),
      { numRuns: 200 },
    )
    await isServing()
  })

  test('serves on, with its store as it was, whatever bytes come', async () => {
    const directory = room.path()
    const store = await openLevelStore(directory)
    const other = await openRuntime({ store, log: 'silent' })
    const flow = other.flow('sum', async (to: number, { step }) => step('add', () => to + 1))
    await flow.run(1, { id: 'sum/1' })
    const readAll = () => toArray(store.entries({ gte: '', lt: '\u{10ffff}' }))
    const before = await readAll()
    const length = (bytes: number): Buffer => {
      const header = Buffer.alloc(4)
      header.writeUInt32LE(bytes)
      return header
    }
    const frame = fc.oneof(
      fc.uint8Array(),
      fc.nat(2 ** 32 - 1).map(length), // and nothing behind it
      fc.tuple(fc.nat(2 ** 32 - 1).map(length), fc.uint8Array()).map((parts) => Buffer.concat(parts)),
      fc.json().map((text) => packValue(JSON.parse(text))),
      fc.json().map((text) => Buffer.from(text)),
      fc.constantFrom('value', 'item', 'end', 'error', 'other').chain(
        (kind) => fc.json().map((text) => encodeFrame({ kind, value: JSON.parse(text) } as unknown as Frame)), // of another program
      ),
    )
    const body = fc.array(frame, { maxLength: 5 }).map((parts) => Buffer.concat(parts))
    const path = fc.oneof(
      fc.constantFrom(...Object.keys(methods).filter((name) => name !== 'events')).map((name) => `/${name}`),
      fc.webPath(),
    )
    await fc.assert(
      fc.asyncProperty(path, body, fc.boolean(), fc.nat(100), async (url, bytes, isHttp, cut) => {
        const whole = isHttp ? post(url, bytes) : Buffer.from(bytes)
        await say(whole.subarray(0, whole.byteLength - cut), { at: join(directory, 'perdure.sock') })
      }),
      { numRuns: 300 },
    )
    const client = await connect(directory)
    assert.equal((await client.run('sum/1')).output, 2)
    assert.deepEqual(await readAll(), before)
    await client[Symbol.asyncDispose]()
    await other.close()
  })

  test('answers an upload when all of it has come: who is cut off while it sends does not see the answer', async () => {
    const directory = room.path()
    const store = await openLevelStore(directory)
    const other = await openRuntime({ store, log: 'silent' })
    const flow = other.flow('sum', async (to: number, { step }) => step('add', () => to + 1))
    await flow.run(1, { id: 'sum/1' })
    const client = await connect(directory)
    const file = Buffer.concat(await toArray(client.export('sum/1')))
    const frames: Frame[] = [
      { kind: 'value', value: [{ id: 'sum/copy' }] },
      { kind: 'item', value: new Uint8Array(file) },
      { kind: 'end' },
    ]
    const body = Buffer.concat(frames.map(encodeFrame))
    const socket = openSocket(join(directory, 'perdure.sock'))
    let said = ''
    socket.on('data', (chunk) => {
      said += chunk.toString('latin1')
    })
    socket.write(`POST /import HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body.byteLength.toString(16)}\r\n`)
    socket.write(body)
    const isThere = () =>
      client.run('sum/copy').then(
        () => true,
        () => false,
      )
    while (!(await isThere()));
    await client.info()
    assert.ok(!said.includes('sum/copy'), said)
    socket.write('\r\n0\r\n\r\n')
    await once(socket, 'close')
    assert.match(said, /sum\/copy/)
    await client[Symbol.asyncDispose]()
    await other.close()
  })

  test('closes with clients that do not take what they asked for', async () => {
    const directory = room.path()
    const large = createMachine({ id: 'large', context: { text: 'x'.repeat(8 * 1024 ** 2) } })
    const other = await openRuntime({ directory, log: 'silent', machines: [large], durability: 'process' })
    await other.start(large, { id: 'a' })
    const socket = openSocket(join(directory, 'perdure.sock'))
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(post('/snapshot', packValue(['a'])))
    await once(socket, 'readable') // more than the system keeps for it is on its way, and is not read
    const idle = openSocket(join(directory, 'perdure.sock'))
    idle.on('error', () => {})
    await once(idle, 'connect')
    await other.close()
    socket.resume()
    await once(socket, 'close')
    idle.destroy()
  })
})
