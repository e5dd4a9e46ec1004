/** `npm run docs`: the guides and the reference as a folder of pages that is read and searched without a network. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { access, readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { inflateSync } from 'node:zlib'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

/** What typedoc knows of a module or of a name in it. */
interface Described {
  readonly name: string
  readonly comment?: object
  readonly children?: readonly Described[]
  readonly signatures?: readonly Described[]
}

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('the site of the docs', () => {
  let room: TempRoom
  let site: string
  let api: string
  let said: string
  /** The text of each page by its path in the site. */
  const pages = new Map<string, string>()

  before(async () => {
    room = await createTempRoom()
    site = room.path('site')
    api = room.path('api.json')
    const typedoc = join(root, 'docs/node_modules/typedoc/bin/typedoc')
    const args = [typedoc, '--options', join(root, 'docs/typedoc.json'), '--html', site, '--json', api]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { cwd: root })
    said = stdout + stderr
    for (const path of await readdir(site, { recursive: true }))
      if (path.endsWith('.html')) pages.set(path, await readFile(join(site, path), 'utf8'))
  })
  after(() => room.remove())

  test('it is built without a warning', () => {
    assert.doesNotMatch(said, /\[warning\]|\[error\]/)
  })

  test('the reference has every entry of the package, and says of every exported name what it is', async () => {
    const { children: entries = [] } = JSON.parse(await readFile(api, 'utf8')) as Described // of typedoc
    const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { exports: Record<string, unknown> }
    const names = Object.keys(exports).filter((path) => !path.endsWith('.json'))
    assert.deepEqual(entries.map(({ name }) => name).toSorted(), names.map((path) => path.replace('.', 'perdure')).toSorted())
    const isSaid = ({ comment, signatures = [] }: Described): boolean =>
      comment !== undefined || (signatures.length > 0 && signatures.every((signature) => signature.comment !== undefined))
    const unsaid = entries.flatMap((entry) =>
      [entry, ...(entry.children ?? [])].filter((described) => !isSaid(described)).map(({ name }) => `${entry.name}: ${name}`),
    )
    assert.deepEqual(unsaid, [])
  })

  test('every page of docs/ is in it, by its heading', async () => {
    const titles = [...pages.values()].map((text) => /<title>(.*?) \| /.exec(text)?.[1])
    const names = (await readdir(join(root, 'docs'))).filter((name) => name.endsWith('.md'))
    assert.ok(names.length > 0)
    for (const name of names) {
      const heading = /^# (.+)/.exec(await readFile(join(root, 'docs', name), 'utf8'))?.[1]?.replaceAll('`', '')
      assert.equal(titles.filter((title) => title === heading).length, 1, `${name}: ${heading}`)
    }
  })

  test('every link leads to a page or a heading that is there, none begins at the root', async () => {
    const broken: string[] = []
    let links = 0
    for (const [page, text] of pages) {
      for (const [, attribute = ''] of text.matchAll(/<(?:a|link|script|img)\b[^>]*? (?:href|src)="([^"]*)"/g)) {
        links += 1
        if (/^(https?|mailto):/.test(attribute)) continue
        const [path = '', anchor = ''] = attribute.split('#')
        const file = path === '' ? page : relative(site, join(site, dirname(page), decodeURIComponent(path.replace(/\?.*$/, ''))))
        const target = pages.get(file)
        const isThere = await access(join(site, file)).then(
          () => true,
          () => false,
        )
        const hasAnchor = anchor === '' || target === undefined || target.includes(`id="${decodeURIComponent(anchor)}"`)
        if (path.startsWith('/') || !isThere || !hasAnchor) broken.push(`${page}: ${attribute}`)
      }
    }
    assert.ok(links > 10 * pages.size, `${links} links`)
    assert.deepEqual([...new Set(broken)], [])
  })

  test('nothing is fetched from elsewhere when a page is read', () => {
    for (const [page, text] of pages)
      assert.doesNotMatch(text, /<(?:script|img|iframe)[^>]* src="(?:https?:)?\/\/|<link [^>]*href="(?:https?:)?\/\//, page)
  })

  test('the search has an entry for every page', async () => {
    const script = await readFile(join(site, 'assets/search.js'), 'utf8')
    const packed = /"([A-Za-z0-9+/=]+)"/.exec(script)?.[1] ?? ''
    const { rows } = JSON.parse(inflateSync(Buffer.from(packed, 'base64')).toString()) as { rows: { url: string }[] } // of typedoc
    const found = new Set(rows.map(({ url }) => url.replace(/#.*$/, '')))
    const indexes = new Set(['index.html', 'modules.html', 'hierarchy.html']) // lists of the others
    assert.deepEqual(
      [...pages.keys()].filter((page) => !indexes.has(page) && !found.has(page)),
      [],
    )
  })
})
