/** The page in a real browser: everything a person does on it, with what is on disk afterwards. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Connection, connect } from 'perdure/client'
import type { Browser, Page } from 'playwright-core'
import { type Dashboard, serveDashboard } from '../../src/dashboard/server.ts'
import { noBrowser, openBrowser, openPage, takePicture, type Watched } from '../support/browser.ts'
import { type Owner, startProgram, toArray } from '../support/managed-store.ts'
import { findFaint, findOverflow } from '../support/page-checks.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/dashboard-app.ts', import.meta.url))

describe('the page of the dashboard', { skip: noBrowser }, () => {
  let room: TempRoom
  let owner: Owner
  let store: Connection
  let dashboard: Dashboard
  let browser: Browser
  before(async () => {
    room = await createTempRoom()
    const directory = room.path()
    await (await startProgram(app, directory, 'first')).kill()
    owner = await startProgram(app, directory, 'second')
    store = await connect(directory)
    dashboard = await serveDashboard(store)
    browser = await openBrowser()
  })
  after(async () => {
    await browser?.close()
    await dashboard?.close()
    await store?.[Symbol.asyncDispose]()
    await owner?.kill()
    await room?.remove()
  })

  const open = async (hash: string, options: Parameters<typeof openPage>[2] = {}): Promise<Watched & AsyncDisposable> => {
    const watched = await openPage(browser, dashboard.url, options)
    await watched.page.goto(`${new URL(dashboard.url).origin}/${hash}`)
    return {
      ...watched,
      async [Symbol.asyncDispose]() {
        await watched.page.context().close()
      },
    }
  }
  const run = (id: string, tab = ''): string => `#/run/${encodeURIComponent(id)}${tab === '' ? '' : `/${tab}`}`
  const untilSays = (page: Page, selector: string, text: string | RegExp): Promise<void> =>
    page.locator(selector).filter({ hasText: text }).first().waitFor()

  test('the address has no token any more, and no script can read the cookie', async () => {
    await using watched = await open('')
    assert.ok(!watched.page.url().includes('token'))
    assert.equal(await watched.page.evaluate('document.cookie'), '')
  })

  test('the list is filtered by words and status, and walked by keys', async () => {
    await using watched = await open('')
    const { page, complaints } = watched
    await untilSays(page, '.runs-count', '13 of 14 runs')
    await page.keyboard.press('/')
    await page.keyboard.type('order 471')
    await untilSays(page, '.runs-count', '4 of 14')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowDown')
    await page.keyboard.press('ArrowUp')
    await page.keyboard.press('Enter')
    await untilSays(page, 'h1', 'order/4714-doubt')
    await page.keyboard.press('Escape')
    await page.locator('.app[data-view="runs"]').waitFor()
    await page.getByLabel('Search by id').fill('')
    await page.getByLabel('Status').selectOption('cancelled')
    await untilSays(page, '.runs-count', '1 of 14')
    await page.keyboard.press('Escape')
    await page.keyboard.press('g')
    await page.keyboard.press('i')
    await untilSays(page, 'h1', 'Inbox')
    assert.deepEqual(complaints, [])
  })

  test('a run says why it waits, and is approved where it says so', async () => {
    await using watched = await open(run('helper/ann'))
    const { page } = watched
    await untilSays(page, '.why-title', 'It waits for you: may it call deploy?')
    await page.getByRole('button', { name: 'Approve', exact: true }).click()
    await untilSays(page, '.why-title', 'It is done')
    assert.equal((await store.run('helper/ann')).status, 'completed')
  })

  test('a call is approved with other arguments', async () => {
    await using watched = await open(run('helper/cat'))
    const { page } = watched
    await page.getByRole('button', { name: 'Edit arguments…' }).click()
    await page.getByLabel('Arguments to call it with instead').fill('{ "to": "the moon" ')
    await untilSays(page, '.field-error', /JSON/)
    await page.getByLabel('Arguments to call it with instead').fill('{ "to": "the moon", "version": "3" }')
    await page.getByRole('button', { name: 'Approve with these' }).click()
    await untilSays(page, '.why-title', 'It is done')
    const { tree } = await store.run('helper/cat')
    assert.match(String(tree[0]?.calls[0]?.calls[0]?.result), /deployed 3 to the moon$/)
  })

  test('a question is answered in the inbox, by a form made from its schema', async () => {
    await using watched = await open('#/inbox')
    const { page } = watched
    const form = page.getByRole('form', { name: 'Question: askHuman' })
    await form.getByLabel('colour').selectOption('blue')
    await form.getByLabel('copies').fill('0')
    await form.getByRole('button', { name: 'Answer' }).click()
    await untilSays(page, '.deed-error', /./)
    await form.getByLabel('copies').fill('2')
    await form.getByLabel('glossy').check()
    await form.getByRole('button', { name: 'Answer' }).click()
    await form.waitFor({ state: 'detached' })
    const { tree } = await store.run('helper/bob')
    assert.deepEqual(tree[0]?.calls[0]?.calls[0]?.result, { colour: 'blue', copies: 2, glossy: true })
  })

  test('a step in doubt is settled: asked for, and in the journal', async () => {
    await using watched = await open(run('order/4714-doubt'))
    const { page } = watched
    await untilSays(page, '.why-title', 'It waits for you: did charge happen?')
    await page.getByLabel('What it returned, as JSON').fill('"charged by hand"')
    await page.getByRole('button', { name: 'Settle it' }).click()
    await untilSays(page, '.why-title', 'It waits for an event')
    assert.deepEqual((await store.snapshot('order/4714-doubt')).context, {
      items: 2,
      note: undefined,
      receipt: 'charged by hand',
    })
    await page.goto(`${new URL(dashboard.url).origin}/${run('helper/dora')}`)
    await untilSays(page, '.why-title', 'It was cut off in the tool mail')
    await page.getByRole('link', { name: 'Say what it came to' }).click()
    const form = page.getByRole('group', { name: 'Settle mail' })
    await form.getByLabel('What it returned, as JSON').fill('"it was sent"')
    await form.getByRole('button', { name: 'Settle it' }).click()
    await form.waitFor({ state: 'detached' })
    const { tree } = await store.run('helper/dora')
    assert.deepEqual([tree[0]?.calls[0]?.calls[0]?.status, tree[0]?.calls[0]?.calls[0]?.resolution], ['ok', 'answered'])
  })

  test('an event that the state accepts is sent, and the chart follows', async () => {
    await using watched = await open(run('order/4711', 'chart'))
    const { page, complaints } = watched
    const cart = page.getByRole('button', { name: 'cart, atomic, active' })
    await cart.waitFor()
    await page.getByRole('button', { name: 'Send event…' }).click()
    await page.getByRole('button', { name: 'checkout', exact: true }).click()
    await untilSays(page, 'dialog', 'Goes on to pay')
    await page.getByRole('button', { name: 'Send', exact: true }).click()
    await page.getByRole('button', { name: 'address, atomic, active' }).waitFor()
    await untilSays(page, '.path-list', /cart.*checkout\.address/)
    await page.getByRole('button', { name: 'payment, atomic' }).click()
    await untilSays(page, '.panel', 'charge done')
    await takePicture(page, 'chart-after-event')
    assert.deepEqual(complaints, [])
  })

  test('nested, parallel, history and final states are drawn', async () => {
    await using watched = await open(run('order/4712', 'chart'))
    const { page } = watched
    for (const name of [
      'last, history',
      'fulfilment, parallel, active',
      'packing, atomic, active',
      'open, atomic, active',
      'done, final',
    ])
      await page.getByRole('button', { name, exact: true }).waitFor()
  })

  test('an actor that is a machine has a chart of its own', async () => {
    await using watched = await open(run('order/4712', 'chart'))
    const { page } = watched
    await store.send('order/4712', { type: 'packed' })
    await page.getByRole('group', { name: 'Actors' }).getByRole('button', { name: 'courier' }).click()
    await page.getByRole('button', { name: 'riding, atomic, active' }).waitFor()
  })

  test('a run is resumed and cancelled', async () => {
    await using watched = await open(run('order/4712'))
    const { page } = watched
    await page.getByRole('button', { name: 'Resume' }).click()
    await untilSays(page, '.announcement', 'Resumed.')
    await page.getByRole('button', { name: 'Cancel run…' }).click()
    await page.getByLabel('Reason').fill('Out of stock')
    await page.getByRole('button', { name: 'Cancel the run' }).click()
    await untilSays(page, '.why', /It was cancelled.*Out of stock/)
    assert.equal((await store.run('order/4712')).status, 'cancelled')
  })

  test('a conversation is forked with another prompt, and at a tool with another result', async () => {
    await using watched = await open(run('helper/zoe'))
    const { page, complaints } = watched
    await page.getByRole('button', { name: 'Fork…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Fork this conversation' })
    assert.equal(await dialog.getByLabel('Prompt', { exact: true }).inputValue(), 'search moons')
    await dialog.getByLabel('Prompt', { exact: true }).fill('search comets')
    await dialog.getByLabel('System prompt').fill('Help thoroughly.')
    await takePicture(page, 'fork')
    await dialog.getByRole('button', { name: 'Fork', exact: true }).click()
    await untilSays(page, 'h1', /^helper\/zoe./)
    const id = (await page.locator('h1').textContent()) ?? ''
    const forked = await store.run(id)
    assert.deepEqual(
      [forked.status, forked.forkedFrom, forked.tree.map(({ turn, prompt }) => [turn, prompt])],
      ['running', { run: 'helper/zoe', turn: 2 }, [[2, 'search comets']]],
    )
    await page.goto(`${new URL(dashboard.url).origin}/${run('helper/zoe')}`)
    await page.getByRole('button', { name: 'Fork…' }).click()
    await dialog.getByLabel('Turn').selectOption('1')
    await dialog.getByLabel('From').selectOption({ label: 'search, called by request 1 of the model' })
    await dialog.getByLabel('What the tool returned').fill('nothing about tides')
    await dialog.getByRole('button', { name: 'Fork', exact: true }).click()
    await page.waitForURL(({ hash }) => hash !== run(id) && hash !== run('helper/zoe'))
    const other = decodeURIComponent(new URL(page.url()).hash.slice('#/run/'.length))
    const steps = JSON.stringify(await toArray(store.steps(other)))
    assert.ok(steps.includes('nothing about tides'), steps)
    assert.deepEqual(complaints, [])
  })

  test('two runs are seen beside each other', async () => {
    await using watched = await open(run('helper/zoe'))
    const { page, complaints } = watched
    await page.getByRole('button', { name: 'Compare…' }).click()
    const dialog = page.getByRole('dialog', { name: 'Compare with another run' })
    await dialog.getByLabel('Run').fill('helper/mallory')
    await dialog.getByRole('button', { name: 'Compare', exact: true }).click()
    await untilSays(page, 'h1', 'helper/mallory and helper/zoe')
    await untilSays(page, '.compare-side[data-side="left"]', 'search terrible')
    await untilSays(page, '.compare-side[data-side="right"]', 'search tides')
    await untilSays(page, '.compare-change[data-change="added"]', 'only right') // the second turn
    await page.getByRole('link', { name: 'Exchange' }).click()
    await untilSays(page, '.compare-side[data-side="left"]', 'search tides')
    assert.equal(await page.evaluate('window.stolen'), undefined)
    await page.goto(
      `${new URL(dashboard.url).origin}/#/compare/${encodeURIComponent('report/1')}/${encodeURIComponent('report/1')}`,
    )
    await untilSays(page, '.compare-verdict', 'They came to the same in the same way.')
    await page.goto(`${new URL(dashboard.url).origin}/#/compare/nobody/${encodeURIComponent('report/1')}`)
    await untilSays(page, 'h2', 'They cannot be compared')
    assert.deepEqual(complaints, [])
  })

  test('what a model and a tool wrote does nothing, and is seen; 10 MB of it too', async () => {
    await using watched = await open(run('helper/mallory', 'transcript'))
    const { page, complaints } = watched
    await untilSays(page, '.said', '<script>window.stolen = true</script>')
    await untilSays(page, '.said', '⟨U+001B⟩[31mred⟨U+001B⟩[0m ⟨U+001B⟩]0;title⟨U+0007⟩ ⟨U+202E⟩gnp.exe')
    await takePicture(page, 'hostile')
    await page.goto(`${new URL(dashboard.url).origin}/${run('dump/1')}`)
    await untilSays(page, '.notice', 'cut')
    assert.ok((await page.evaluate<number>('document.body.textContent.length')) < 100_000)
    await page.getByRole('button', { name: /Load all of/ }).click()
    await page
      .getByRole('button', { name: /Show all 10,485,\d\d\d characters/ })
      .first()
      .click()
    await page.waitForFunction('document.querySelector("main .text").textContent.length > 10485000')
    for (const tab of ['journal', 'state', 'overview', 'cost']) {
      await page.goto(`${new URL(dashboard.url).origin}/${run('helper/mallory', tab)}`)
      await page.locator('.tab > *').first().waitFor()
    }
    assert.equal(await page.evaluate('window.stolen'), undefined)
    assert.equal(await page.locator('main img, main script').count(), 0)
    assert.deepEqual(complaints, [])
  })

  const views = [
    ['runs', '#/'],
    ['inbox', '#/inbox'],
    ['timeline', run('helper/eve')],
    ['statechart', run('order/4711', 'chart')],
    ['agent-statechart', run('helper/zoe', 'chart')],
    ['transcript', run('helper/zoe', 'transcript')],
    ['cost', run('helper/zoe', 'cost')],
    ['state', run('order/4711', 'state')],
    ['journal', run('helper/eve', 'journal')],
    ['flow', run('report/1')],
    ['compare', `#/compare/${encodeURIComponent('helper/zoe')}/${encodeURIComponent('helper/ann')}`],
    ['no-such-run', run('nobody')],
  ] as const
  const looks = [
    ['light', { theme: 'light' }],
    ['dark', { theme: 'dark' }],
    ['phone', { width: 390, height: 844 }],
  ] as const
  for (const [look, options] of looks)
    test(`every view can be read: ${look}`, async () => {
      await using watched = await open('', options)
      const { page, complaints } = watched
      for (const [name, hash] of views) {
        await page.goto(`${new URL(dashboard.url).origin}/${hash}`)
        await page.locator('.virtual-row:visible, .inbox, .tab > *, main .empty, .compare-figures').first().waitFor()
        if (name.endsWith('statechart')) await page.locator('.chart svg').waitFor()
        if (name === 'cost') await page.locator('.plot canvas').waitFor()
        await page.waitForFunction("document.querySelector('.announcement').dataset.said !== 'true'")
        await takePicture(page, `${name}-${look}`)
        assert.deepEqual(await findFaint(page), [], `${name} has text with too little contrast`)
        assert.deepEqual(await findOverflow(page), [], `${name} is wider than the window`)
      }
      assert.deepEqual(complaints, [])
    })

  test('the theme can be chosen, and is kept', async () => {
    await using watched = await open('')
    const { page } = watched
    const ground = (): Promise<unknown> => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.getByRole('button', { name: 'Theme: dark' }).click()
    assert.notEqual(await ground(), light)
    await page.reload()
    await page.locator('.virtual-row').first().waitFor()
    assert.notEqual(await ground(), light)
  })

  test('the runs that were answered are gone from the inbox', async () => {
    assert.deepEqual(await toArray(store.pending()), [])
    await using watched = await open('#/inbox')
    await untilSays(watched.page, 'h2', 'Nothing waits for you')
  })
})
