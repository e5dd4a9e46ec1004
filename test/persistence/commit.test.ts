import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isPerdureError } from '../../src/errors.ts'
import { createCommitter, type Participant } from '../../src/persistence/commit.ts'
import type { Operation } from '../../src/persistence/store.ts'
import { openHeldStore } from '../support/held-store.ts'

const put = (key: string): Operation => ({ type: 'put', key, value: new Uint8Array([1]) })

/** Writes `name` with a count of how often it was asked. */
function createParticipant(name: string): Participant & { asked: number } {
  const participant = {
    asked: 0,
    prepare: () => {
      participant.asked++
      return [put(`${name}${participant.asked}`)]
    },
  }
  return participant
}

async function openRoom(sync = true) {
  const store = await openHeldStore()
  const keys = (): string[][] => store.writes.map(({ operations }) => operations.map(({ key }) => key))
  return { store, keys, committer: createCommitter(store, { sync }) }
}

describe('group commit', () => {
  it('writes what is asked for in one tick as one batch, in the order in which it was asked', async () => {
    const { store, keys, committer } = await openRoom()
    const all = Array.from({ length: 50 }, (_, index) => createParticipant(`p${index}-`))
    await Promise.all(all.map((participant) => committer.commit(participant)))
    assert.deepEqual(keys(), [all.map((_, index) => `p${index}-1`)])
    assert.equal(store.writes[0]?.sync, true)
  })

  it('is one commit when asked twice before the batch is cut', async () => {
    const { keys, committer } = await openRoom(false)
    const a = createParticipant('a')
    assert.equal(committer.commit(a), committer.commit(a))
    await committer.commit(a)
    assert.deepEqual(keys(), [['a1']])
  })

  it('gathers what one turn of the event loop brings, until somebody does not wait for that', async () => {
    const { keys, committer } = await openRoom()
    const [a, b, c] = [createParticipant('a'), createParticipant('b'), createParticipant('c')]
    const gathering = [committer.commit(a, { gather: true })]
    for (let microtask = 0; microtask < 20; microtask++) await undefined
    assert.deepEqual([a.asked, committer.isPending(a)], [0, true])
    gathering.push(committer.commit(b, { gather: true }))
    await Promise.all(gathering)
    assert.deepEqual(keys(), [['a1', 'b1']])

    const first = committer.commit(a, { gather: true })
    await undefined
    committer.commit(c)
    await undefined
    await undefined
    assert.deepEqual([a.asked, c.asked], [2, 1])
    await first
    assert.deepEqual(keys(), [
      ['a1', 'b1'],
      ['a2', 'c1'],
    ])
    committer.commit(b, { gather: true })
    await committer.idle()
    assert.equal(b.asked, 2)
  })

  it('fills the next batch while one is being written, and cuts it only then', async () => {
    const { store, keys, committer } = await openRoom()
    const [a, b, c] = [createParticipant('a'), createParticipant('b'), createParticipant('c')]
    const settled: string[] = []
    store.hold()
    const first = committer.commit(a).then(() => settled.push('first'))
    await store.held()
    const second = committer.commit(b).then(() => settled.push('second'))
    const third = committer.commit(a).then(() => settled.push('third'))
    const fourth = committer.commit(c).then(() => settled.push('fourth'))
    assert.deepEqual([b.asked, a.asked], [0, 1])
    store.release()
    await first
    await store.held()
    assert.deepEqual(keys(), [['a1'], ['b1', 'a2', 'c1']])
    assert.deepEqual(settled, ['first'])
    store.release()
    await Promise.all([second, third, fourth])
    assert.deepEqual(settled, ['first', 'second', 'third', 'fourth'])
  })

  it('resolves when the write is done, not before', async () => {
    const { store, committer } = await openRoom()
    store.hold()
    let isDone = false
    const done = committer.commit(createParticipant('a')).then(() => {
      isDone = true
    })
    await store.held()
    assert.equal(await store.get('a1'), undefined)
    assert.equal(isDone, false)
    store.release()
    await done
    assert.deepEqual(await store.get('a1'), new Uint8Array([1]))
  })

  it('writes what is asked for while a batch is being cut with the next one', async () => {
    const { keys, committer } = await openRoom()
    const late = createParticipant('late')
    let asked: Promise<void> | undefined
    const self: Participant = {
      prepare: () => {
        if (asked !== undefined) return [put('again')]
        asked = Promise.all([committer.commit(late), committer.commit(self)]).then(() => {})
        return [put('self')]
      },
    }
    await committer.commit(self)
    await asked
    assert.deepEqual(keys(), [['self'], ['late1', 'again']])
  })

  it('does not ask the store when there is nothing to write', async () => {
    const { store, committer } = await openRoom()
    await committer.commit({ prepare: () => [] })
    assert.equal(store.writes.length, 0)
  })

  it('takes more operations of one participant than a call has room for arguments', async () => {
    const { store, committer } = await openRoom()
    const many = Array.from({ length: 200_000 }, () => put('a'))
    await committer.commit({ prepare: () => many })
    assert.equal(store.writes[0]?.operations.length, 200_000)
  })
})

describe('a commit that fails', () => {
  it('in its preparation fails alone, and may be tried again', async () => {
    const { keys, committer } = await openRoom()
    const failure = new Error('cannot')
    let isBroken = true
    const broken: Participant = {
      prepare: () => {
        if (isBroken) throw failure
        return [put('mended')]
      },
    }
    const results = await Promise.allSettled(
      [createParticipant('a'), broken, createParticipant('b')].map((p) => committer.commit(p)),
    )
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    assert.deepEqual(keys(), [['a1', 'b1']])
    isBroken = false
    await committer.commit(broken)
    assert.deepEqual(keys(), [['a1', 'b1'], ['mended']])
  })

  it('in its write fails everyone in the batch, and nothing later is acknowledged or prepared', async () => {
    const { store, committer } = await openRoom()
    const [a, b, later] = [createParticipant('a'), createParticipant('b'), createParticipant('later')]
    const failure = new Error('the disk is gone')
    store.hold()
    const batch = [committer.commit(a), committer.commit(b)]
    await store.held()
    const next = committer.commit(later)
    store.release(failure)
    for (const commit of batch) await assert.rejects(commit, failure)
    const refused = (error: unknown): boolean =>
      isPerdureError(error, 'STORE_WRITE_FAILED') && error.cause === failure && error.message.includes('the disk is gone')
    await assert.rejects(next, refused)
    await assert.rejects(committer.commit(a), refused)
    await committer.idle()
    assert.deepEqual([a.asked, later.asked, store.writes.length], [1, 0, 1])
  })

  it('of one that nobody waits for is no unhandled rejection', async () => {
    const { store, committer } = await openRoom()
    store.hold()
    committer.commit(createParticipant('a'))
    await store.held()
    store.release(new Error('the disk is gone'))
    await committer.idle()
    await new Promise(setImmediate)
  })
})

describe('idle', () => {
  it('waits for the write under way and for those that wait for it', async () => {
    const { store, committer } = await openRoom()
    await committer.idle()
    store.hold()
    let isIdle = false
    committer.commit(createParticipant('a'))
    const idle = committer.idle().then(() => {
      isIdle = true
    })
    await store.held()
    const second = committer.commit(createParticipant('b'))
    store.release()
    await store.held()
    assert.equal(isIdle, false)
    store.release()
    await Promise.all([idle, second])
    assert.equal(store.writes.length, 2)
  })
})
