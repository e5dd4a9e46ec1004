/** A store of a user's own, written from the public types alone: it passes the contract, and a runtime lives on it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type KeyRange, type Operation, openRuntime, PerdureError, type Store } from 'perdure'
import { storeContract } from 'perdure/testing'
import { assign, setup } from 'xstate'

const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other))

function assertText(text: string): void {
  if (!text.isWellFormed()) throw new TypeError('Expected no half of a character')
}
function assertKey(key: string): void {
  assertText(key)
  if (key < '"') throw new TypeError('Expected a key not to be empty, and not to begin with `!` or a character below it')
}

/** Places that outlive the stores that are open on them, as a table of a database does. */
const places = new Map<string, { readonly rows: Map<string, Uint8Array>; epoch: number }>()
let placed = 0

function openTable(location = `table ${++placed}`): Store {
  const place = places.get(location) ?? { rows: new Map<string, Uint8Array>(), epoch: 0 }
  places.set(location, place)
  const { rows } = place
  const epoch = ++place.epoch
  let isClosed = false
  const assertOpen = (): void => {
    if (isClosed) throw new PerdureError('STORE_CLOSED', `The store \`${location}\` is closed. Open it again.`)
  }
  const get = (key: string): Uint8Array | undefined => {
    assertKey(key)
    const value = rows.get(key)
    return value && new Uint8Array(value)
  }
  async function* entries({
    gte,
    lt,
    reverse = false,
    limit = Infinity,
  }: KeyRange): AsyncGenerator<readonly [string, Uint8Array]> {
    assertOpen()
    for (const bound of [gte, lt]) assertText(bound)
    if (!(limit === Infinity || Number.isInteger(limit)) || limit < 0)
      throw new TypeError(`Expected a limit ≥ 0, got \`${limit}\``)
    const found = [...rows].filter(([key]) => byBytes(key, gte) >= 0 && byBytes(key, lt) < 0)
    found.sort(([one], [other]) => (reverse ? byBytes(other, one) : byBytes(one, other)))
    for (const [key, value] of found.slice(0, Math.min(limit, found.length))) {
      assertOpen()
      yield [key, new Uint8Array(value)]
    }
    assertOpen()
  }
  const close = async (): Promise<void> => {
    isClosed = true
  }
  return {
    location,
    epoch,
    async get(key) {
      assertOpen()
      return get(key)
    },
    async getMany(keys) {
      assertOpen()
      return keys.map(get)
    },
    entries: (range) => ({ [Symbol.asyncIterator]: () => entries(range) }),
    async write(operations: readonly Operation[]) {
      assertOpen()
      for (const operation of operations) {
        assertKey(operation.key)
        if (operation.type === 'put' && !(operation.value instanceof Uint8Array))
          throw new TypeError('Expected a value to be bytes')
      }
      for (const operation of operations) {
        if (operation.type === 'put') rows.set(operation.key, new Uint8Array(operation.value))
        else rows.delete(operation.key)
      }
    },
    async compact(range) {
      assertOpen()
      for (const bound of range === undefined ? [] : [range.gte, range.lt]) assertText(bound)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** What registers tests in another runner gets the same ones. */
const registered: string[] = []
storeContract('another runner', async () => openTable(), {
  runner: {
    describe: (_, suite) => suite(),
    it: (title, { skip }) => void registered.push(`${skip === false ? '' : 'skipped: '}${title}`),
  },
})

test('the contract registers its tests where it is told to', () => {
  assert.equal(registered.length, 28)
  assert.deepEqual(registered.filter((title) => title.startsWith('skipped')).length, 3)
})

storeContract('a table', async () => openTable(), { reopen: async (location) => openTable(location) })

test('a runtime goes on where it was on a store of its user', async () => {
  const counter = setup({
    types: { context: {} as { readonly count: number }, events: {} as { type: 'add' } | { type: 'stop' } },
  }).createMachine({
    id: 'counter',
    context: { count: 0 },
    initial: 'counting',
    states: {
      counting: { on: { add: { actions: assign({ count: ({ context }) => context.count + 1 }) }, stop: 'over' } },
      over: { type: 'final' },
    },
    output: ({ context }) => context.count,
  })
  const live = async (location?: string): Promise<string> => {
    const store = openTable(location)
    const runtime = await openRuntime({ store, machines: [counter], log: 'silent' })
    const run = await runtime.start(counter, { id: 'one' })
    await run.send({ type: 'add' })
    await runtime.close()
    return store.location
  }
  const location = await live()
  await live(location)
  const runtime = await openRuntime({ store: openTable(location), machines: [counter], log: 'silent' })
  const run = runtime.get<typeof counter>('one')
  await run.send({ type: 'stop' })
  assert.equal(await run.done(), 2)
  await runtime.close()
})
