/** What a page sees while things happen: a process that dies and another that goes on, and a store of 100,000 runs. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { PerdureError } from 'perdure'
import { connect, type Management, type RunSummary } from 'perdure/client'
import { createEventFeed } from '../../src/dashboard/event-feed.ts'
import { serveDashboard } from '../../src/dashboard/server.ts'
import type { RuntimeEvent } from '../../src/runtime/events.ts'
import { NO_SPEND } from '../../src/runtime/spend.ts'
import { noBrowser, openBrowser, openPage, takePicture } from '../support/browser.ts'
import { startProgram } from '../support/managed-store.ts'
import { createTempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/dashboard-app.ts', import.meta.url))

/** Events that a test tells; each listening ends when the test says that the owner died. */
function createSource() {
  let tell: (event: RuntimeEvent | undefined) => void = () => {}
  let listening = Promise.withResolvers<void>()
  const source: Pick<Management, 'events' | 'info'> = {
    info: async () => ({ directory: '', owner: { pid: 1, startedAt: 0 }, version: '', node: '', machines: [], flows: [] }),
    async *events({ signal } = {}) {
      const waiting: (RuntimeEvent | undefined)[] = []
      let change = Promise.withResolvers<void>()
      tell = (event) => {
        waiting.push(event)
        change.resolve()
      }
      signal?.addEventListener('abort', () => tell(undefined))
      listening.resolve()
      for (;;) {
        if (waiting.length === 0) await change.promise
        change = Promise.withResolvers<void>()
        for (const event of waiting.splice(0)) {
          if (event === undefined) throw new PerdureError('OWNER_GONE', 'It died')
          yield event
        }
      }
    },
  }
  return {
    source,
    tell: (event: RuntimeEvent | undefined) => tell(event),
    async untilListening() {
      await listening.promise
      listening = Promise.withResolvers<void>()
    },
  }
}

const toEvent = (time: number): RuntimeEvent => ({ type: 'machine.started', runId: 'door', runCreatedAt: 0, name: 'door', time })

describe('the feed of events', () => {
  test('a page that comes back is told what it missed, once; one that was away too long, to look at everything again', async () => {
    const { source, tell, untilListening } = createSource()
    const feed = createEventFeed(source)
    await untilListening()
    const seen: string[] = []
    const all = Promise.withResolvers<void>()
    const leave = feed.subscribe(undefined, ({ id }) => seen.push(id) === 3 && all.resolve())
    for (const time of [1, 2, 3]) tell(toEvent(time))
    await all.promise
    leave()
    const missed: unknown[] = []
    feed.subscribe(seen[0], (message) =>
      missed.push(message.type === 'event' ? (message.event as RuntimeEvent).time : message.type),
    )()
    assert.deepEqual(missed, [2, 3])
    const again: unknown[] = []
    feed.subscribe('another.1', ({ type }) => again.push(type))()
    assert.deepEqual(again, ['reload'])
    await feed.close()
  })

  test('the end of the owner and its successor are told, and that everything is to be looked at again', async () => {
    const { source, tell, untilListening } = createSource()
    const feed = createEventFeed(source)
    await untilListening()
    const seen: unknown[] = []
    feed.subscribe(undefined, (message) => seen.push(message.type === 'owner' ? message.isThere : message.type))
    tell(undefined)
    await untilListening()
    assert.deepEqual(seen, [false, true, 'reload'])
    await feed.close()
  })
})

test('a run that crashes and resumes while it is watched', { skip: noBrowser }, async (t) => {
  const room = await createTempRoom()
  t.after(room.remove)
  const directory = room.path()
  const first = await startProgram(app, directory, 'first')
  const store = await connect(directory)
  const dashboard = await serveDashboard(store)
  const browser = await openBrowser()
  t.after(async () => {
    await browser.close()
    await dashboard.close()
    await store[Symbol.asyncDispose]()
  })
  const { page, complaints } = await openPage(browser, dashboard.url)
  await page.goto(`${new URL(dashboard.url).origin}/#/run/helper%2Feve/transcript`)
  const says = (selector: string, text: string | RegExp) => page.locator(selector).filter({ hasText: text }).first().waitFor()
  await says('.said[data-live]', 'Chapter 20: a run goes on.')
  await first.kill()
  await says('.banner', 'The process that had the store open ended')
  await says('.why-title', 'It waits for its process, which ended')
  await takePicture(page, 'crashed')
  const second = await startProgram(app, directory, 'second')
  t.after(second.kill)
  await says('.why-title', 'It is done')
  await says('.said', 'Chapter 40: a run goes on.')
  await page.locator('.banner').waitFor({ state: 'detached' })
  await page.getByRole('link', { name: 'Timeline' }).click()
  await page.locator('.timeline-mark[data-kind="crash"]').first().waitFor()
  await page.locator('.timeline-mark[data-kind="resume"]').first().waitFor()
  await page.locator('.bar[data-look="reused"]').first().waitFor()
  await takePicture(page, 'resumed')
  assert.deepEqual(complaints, [])
})

test('100,000 runs are listed, searched and scrolled through', { skip: noBrowser }, async (t) => {
  const toRun = (index: number): RunSummary => ({
    id: `order/${String(index).padStart(6, '0')}`,
    kind: 'machine',
    name: `order-${index % 7}`,
    status: index % 3 === 0 ? 'completed' : 'running',
    createdAt: index,
    updatedAt: index,
    endedAt: undefined,
    wakeAt: undefined,
    parent: undefined,
    forkedFrom: undefined,
    state: 'open',
    turns: 0,
    spend: NO_SPEND,
    pending: 0,
    waitsFor: 'an event',
    error: undefined,
  })
  const { source } = createSource()
  const management = {
    ...source,
    async *runs({ after, limit = 0 }: { after?: string; limit?: number } = {}) {
      const first = after === undefined ? 0 : Number(after.slice('order/'.length)) + 1
      for (let index = first; index < Math.min(100_000, first + limit); index++) yield toRun(index)
    },
    async *pending() {},
  } as unknown as Management // what the list asks for
  const dashboard = await serveDashboard(management)
  const browser = await openBrowser()
  t.after(async () => {
    await browser.close()
    await dashboard.close()
  })
  const { page, complaints } = await openPage(browser, dashboard.url)
  const begun = performance.now()
  await page
    .locator('.runs-count')
    .filter({ hasText: /^100,000 runs$/ })
    .waitFor()
  t.diagnostic(`all loaded after ${Math.round(performance.now() - begun)} ms`)
  assert.ok((await page.locator('.virtual-row').count()) < 60, 'only what can be seen is there')
  await page.evaluate('document.querySelector(".virtual").scrollTop = 99_000 * 56')
  await page.locator('.run-row-id').filter({ hasText: 'order/000990' }).waitFor()
  const searched = performance.now()
  await page.getByLabel('Search by id').fill('77777')
  await page.locator('.runs-count').filter({ hasText: '1 of 100,000' }).waitFor()
  t.diagnostic(`found one by its id after ${Math.round(performance.now() - searched)} ms`)
  assert.deepEqual(complaints, [])
})
