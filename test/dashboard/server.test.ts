/** The dashboard as a hostile page, a curious process and a browser that comes back meet it. */
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { connect } from 'perdure/client'
import { toJsonView } from '../../src/dashboard/json-view.ts'
import { type Dashboard, serveDashboard } from '../../src/dashboard/server.ts'
import { machines } from '../support/managed-crew.ts'
import { createManagedRoom } from '../support/managed-store.ts'

interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

describe('the server of the dashboard', () => {
  let room: Awaited<ReturnType<typeof createManagedRoom>>
  let store: Awaited<ReturnType<typeof connect>>
  let dashboard: Dashboard
  let url: URL
  let cookie: string
  before(async () => {
    room = await createManagedRoom()
    store = await connect(await room.copy(), { machines })
    dashboard = await serveDashboard(store)
    url = new URL(dashboard.url)
    const welcome = await ask('GET', `/${url.search}`)
    cookie = String(welcome.headers['set-cookie']).split(';')[0] ?? ''
  })
  after(async () => {
    await dashboard.close()
    await store[Symbol.asyncDispose]()
    await room.remove()
  })

  const ask = (method: string, path: string, headers: Readonly<Record<string, string>> = {}, body?: string): Promise<Reply> => {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    const sent = request(
      { host: '127.0.0.1', port: url.port, method, path, headers: { host: url.host, ...headers } },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString('utf8') }),
        )
        response.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(body)
    return promise
  }
  const page = { origin: '', 'content-type': 'application/json', cookie: '' }
  const call = (name: string, args: readonly unknown[], headers: Readonly<Record<string, string>> = {}): Promise<Reply> =>
    ask('POST', `/api/${name}`, { ...page, origin: url.origin, cookie, ...headers }, JSON.stringify({ args }))
  const toLines = ({ text }: Reply): unknown[] =>
    text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))

  test('it listens on the loopback interface only', () => {
    assert.equal(url.hostname, '127.0.0.1')
  })

  test('the token becomes a cookie that no script reads and no other site sends, and leaves the address', async () => {
    const { status, headers } = await ask('GET', `/${url.search}`)
    assert.equal(status, 303)
    assert.equal(headers.location, '/')
    assert.match(String(headers['set-cookie']), /^perdure-\d+=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/)
    assert.ok(!String(headers['set-cookie']).includes(url.searchParams.get('token') ?? '?'))
  })

  test('every answer forbids scripts that are not its own, also a refusal', async () => {
    for (const reply of [await ask('GET', '/', { cookie }), await ask('GET', '/'), await ask('GET', '/nothing', { cookie })]) {
      const policy = String(reply.headers['content-security-policy'])
      assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/)
      assert.ok(!policy.includes('unsafe'))
      assert.equal(reply.headers['x-content-type-options'], 'nosniff')
      assert.equal(reply.headers['cache-control'], 'no-store')
    }
    const { text } = await ask('GET', '/', { cookie })
    assert.ok(!/<script(?![^>]* src=)/.test(text), 'an inline script')
  })

  const refusals: readonly (readonly [name: string, status: number, ask: () => Promise<Reply>])[] = [
    ['without the cookie', 401, () => ask('GET', '/')],
    ['with a wrong token', 401, () => ask('GET', `/?token=${'x'.repeat(43)}`)],
    ['with a token that is an empty text', 401, () => ask('GET', '/?token=')],
    ['with a wrong cookie', 401, () => ask('GET', '/', { cookie: cookie.replace(/=.*/, `=${'x'.repeat(43)}`) })],
    ['for the script without the cookie', 401, () => ask('GET', '/page.js')],
    ['for the events without the cookie', 401, () => ask('GET', '/events')],
    ['of a call without the cookie', 401, () => call('info', [], { cookie: '' })],
    ['under another name (DNS rebinding)', 421, () => ask('GET', '/', { cookie, host: `evil.example:${url.port}` })],
    ['under the right name with another port', 421, () => ask('GET', '/', { cookie, host: '127.0.0.1:1' })],
    ['of a call from another site', 403, () => call('info', [], { origin: 'http://evil.example' })],
    ['of a call from another port of this host', 403, () => call('info', [], { origin: 'http://127.0.0.1:1' })],
    ['of a call from a page without an origin', 403, () => call('info', [], { origin: 'null' })],
    ['of a look from another site', 403, () => ask('GET', '/events', { cookie, origin: 'http://evil.example' })],
    ['of a form (CSRF)', 415, () => call('info', [], { 'content-type': 'application/x-www-form-urlencoded' })],
    ['of a text that a form can send', 415, () => call('info', [], { 'content-type': 'text/plain' })],
    ['with another method', 405, () => ask('PUT', '/', { cookie })],
    ['for a method that is none', 404, () => call('constructor', [])],
    ['to take bytes, which are no JSON', 404, () => call('import', [[]])],
    ['for a method of all objects', 404, () => call('__proto__', [])],
    ['for a file outside of the page', 404, () => ask('GET', '/../../package.json', { cookie })],
    ['for a file outside of the page, encoded', 404, () => ask('GET', '/%2e%2e%2f%2e%2e%2fpackage.json', { cookie })],
    ['for a file by an absolute path', 404, () => ask('GET', '//etc/passwd', { cookie })],
    ['of arguments that are none', 400, () => ask('POST', '/api/info', { ...page, origin: url.origin, cookie }, '{"args":7}')],
    ['of what is not JSON', 400, () => ask('POST', '/api/info', { ...page, origin: url.origin, cookie }, '<script>')],
  ]
  for (const [name, status, refused] of refusals)
    test(`it refuses a request ${name}`, async () => {
      const reply = await refused()
      assert.equal(reply.status, status, reply.text)
      assert.ok(!reply.text.includes('"dependencies"') && !reply.text.includes('root:'))
    })

  test('a call without the header Origin is refused', async () => {
    const reply = await ask('POST', '/api/info', { 'content-type': 'application/json', cookie }, '{"args":[]}')
    assert.equal(reply.status, 403)
  })

  test('a value is a line and its end', async () => {
    const lines = toLines(await call('info', [])) as { value?: { machines: string[] }; end?: true }[] // of `info`
    assert.deepEqual(lines[0]?.value?.machines, ['door'])
    assert.deepEqual(lines[1], { end: true })
  })

  test('items are a line each', async () => {
    const lines = toLines(await call('runs', [{ isTop: true }])) as { value?: { id: string } }[] // of `runs`
    assert.deepEqual(
      lines.map(({ value }) => value?.id),
      ['door/ajar', 'door/broken', 'door/shut', 'helper/ann', 'report/1', undefined],
    )
  })

  test('what goes wrong is told with its code', async () => {
    const [line] = toLines(await call('run', ['nobody'])) as { error?: { code: string } }[]
    assert.equal(line?.error?.code, 'RUN_NOT_FOUND')
  })

  test('runs can be asked for by their ids', async () => {
    const lines = toLines(await call('runs', [{ ids: ['report/1', 'door/shut', 'nobody'] }])) as { value?: { id: string } }[]
    assert.deepEqual(
      lines.map(({ value }) => value?.id),
      ['door/shut', 'report/1', undefined],
    )
  })
})

describe('a value for a browser', () => {
  test('has a word for what JSON has none for', () => {
    const value = {
      map: new Map([['a', 1n]]),
      set: new Set([Number.NaN]),
      bytes: new Uint8Array([1, 2]),
      date: new Date(0),
      error: new TypeError('no'),
      nothing: undefined,
    }
    assert.deepEqual(toJsonView(value), {
      value: {
        map: { $map: [['a', { $bigint: '1' }]] },
        set: { $set: [{ $number: 'NaN' }] },
        bytes: { $bytes: 'AQI=' },
        date: { $date: '1970-01-01T00:00:00.000Z' },
        error: { $error: { name: 'TypeError', message: 'no' } },
      },
      cut: [],
    })
  })

  test('that holds itself comes to an end', () => {
    const value: { self?: unknown } = {}
    value.self = value
    assert.deepEqual(toJsonView(value).value, { self: { $again: true } })
  })

  test('has 64 KB of a text of 10 MB, and says so; all of it when it is asked for', () => {
    const text = 'x'.repeat(10 * 1024 ** 2)
    const { value, cut } = toJsonView({ list: [text] })
    assert.equal((value as { list: string[] }).list[0]?.length, 64 * 1024)
    assert.deepEqual(cut, [{ path: '/list/0', length: text.length }])
    assert.deepEqual(toJsonView({ list: [text] }, { whole: true }), { value: { list: [text] }, cut: [] })
  })

  test('with a thousand long texts stays small', () => {
    const texts = Array.from({ length: 1_000 }, () => 'x'.repeat(64 * 1024))
    assert.ok(JSON.stringify(toJsonView(texts).value).length < 6 * 1024 ** 2)
  })
})
