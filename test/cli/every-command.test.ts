/** Every command of the program, through a live owner and on a closed store, in a pipe and in a pseudo terminal. A command without a row fails. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { mainProgram } from '../support/cli-program.ts'
import { createManagedRoom, startOwner } from '../support/managed-store.ts'
import { parseLines } from '../support/said.ts'

const app = fileURLToPath(new URL('../support/managed-crew.ts', import.meta.url))
const COLUMNS = 90
/** Runs a program in a pseudo terminal. */
const recorder = 'script'
const isTerminalHere = spawnSync(recorder, ['--version']).error === undefined

interface Row {
  readonly args: readonly string[]
  /** What each object of `--json` has; undefined: it has no `--json`, and says the same in a pipe. Empty: it writes none. */
  readonly fields?: readonly string[]
  /** What a person reads. */
  readonly text: RegExp
  /** Default: 0. */
  readonly code?: number
  /** It has colours on a terminal. */
  readonly isPainted?: true
  /** It is cut to the terminal. */
  readonly fits?: true
  /** It goes on until Ctrl-C, which it gets when it has written something. */
  readonly goesOn?: true
}

const changed = ['id', 'kind', 'name', 'status']
const answered = ['runId', 'id', 'answered']
/** In the order in which they are run on one store. `FILE` is an export of `helper/ann` there, `SCRIPT` a script of a model. */
const rows: readonly Row[] = [
  {
    args: ['ls'],
    fields: ['id', 'status', 'spend', 'turns'],
    text: /^RUN +STATUS.*\ndoor\/ajar +waiting/,
    isPainted: true,
    fits: true,
  },
  { args: ['ls', '--watch'], fields: ['id', 'status'], text: /RUN +STATUS/, code: 130, goesOn: true, isPainted: true },
  { args: ['run-ids'], text: /^door\/ajar\ndoor\/broken\n/ },
  {
    args: ['show', 'report/1'],
    fields: ['id', 'tree', 'children', 'spend'],
    text: /^✔ report\/1 completed.*\n.*● step print ok/s,
    isPainted: true,
    fits: true,
  },
  { args: ['logs', 'report/1'], fields: ['offset', 'runId', 'type'], text: /\nDone: noted rain\n$/, isPainted: true },
  {
    args: ['logs', 'helper/ann', '--follow'],
    fields: ['offset', 'runId'],
    text: /\{"to":"prod"\}/,
    code: 130,
    goesOn: true,
    isPainted: true,
  },
  { args: ['transcript', 'report/1'], fields: ['runId', 'turn', 'message'], text: /^user.*\nnote rain\n/, isPainted: true },
  {
    args: ['pending'],
    fields: ['runId', 'id', 'kind', 'schema'],
    text: /^approval deploy .*perdure approve helper\/ann\n$/s,
    isPainted: true,
    fits: true,
  },
  {
    args: ['stats'],
    fields: ['runs', 'byStatus', 'records', 'disk', 'owner'],
    text: /^(Process \d+ has|No process has) it open.*\n6 runs: .*\n.*RECORDS/s,
    isPainted: true,
    fits: true,
  },
  { args: ['verify'], fields: [], text: /^The store is sound\.\n$/ },
  { args: ['export', 'helper/ann', '-o', 'FILE'], fields: ['id', 'file', 'bytes'], text: /^Exported helper\/ann to / },
  {
    args: ['import', 'FILE', '--id', 'helper/b'],
    fields: changed,
    text: /^Imported helper\/b: agent helper, waiting/,
    isPainted: true,
  },
  { args: ['import', 'FILE', '--id', 'helper/c'], fields: changed, text: /^Imported helper\/c: /, isPainted: true },
  { args: ['import', 'FILE'], fields: [], text: /^perdure import: RUN_CONFLICT: /, code: 1 },
  { args: ['approve', 'helper/ann'], fields: answered, text: /^Answered approval deploy of helper\/ann\./, isPainted: true },
  {
    args: ['deny', 'helper/b', '--reason', 'No.'],
    fields: answered,
    text: /^Answered approval deploy of helper\/b\./,
    isPainted: true,
  },
  { args: ['answer', 'helper/c', 'true'], fields: answered, text: /^Answered approval deploy of helper\/c\./, isPainted: true },
  {
    args: ['fork', 'helper/ann', '--at', '1', '--id', 'helper/d'],
    fields: ['id', 'forkedFrom'],
    text: /^helper\/d goes on when/,
  },
  {
    args: ['replay', 'report/1', '--app', app],
    fields: ['id', 'identical', 'divergences'],
    text: /^✔ .report\/1. comes to the same/,
    isPainted: true,
  },
  {
    args: ['diff', 'helper/ann', 'report/1/helper'],
    fields: ['change'],
    text: /report\/1\/helper/,
    code: 1,
    isPainted: true,
    fits: true,
  },
  { args: ['doctor', '--app', app], fields: ['runId', 'verdict', 'machine'], text: /^1 live run: 1 continue, 0 migrate/ },
  { args: ['resume', 'door/ajar', '--app', app], fields: changed, text: /^door\/ajar waiting in open for / },
  { args: ['send', 'door/ajar', 'close', '--app', app], fields: changed, text: /^door\/ajar completed in shut\n$/ },
  { args: ['settle', 'report/1', 'none', '--result', '1'], fields: [], text: /^perdure settle: STEP_UNKNOWN: /, code: 1 },
  { args: ['cancel', 'helper/c', '--reason', 'Enough.'], fields: changed, text: /^helper\/c cancelled\n$/ },
  { args: ['delete', 'helper/b', '--yes'], fields: ['id', 'deleted'], text: /^Deleted helper\/b\.\n$/ },
  { args: ['gc'], fields: ['runs', 'remains', 'damaged'], text: /^Removed nothing\. / },
  {
    args: ['dashboard'],
    fields: ['url'],
    text: /^(No other process has the store open: .*\n)?http:\/\/127\.0\.0\.1:\d+\/\S+\n/,
    goesOn: true,
  },
  { args: ['machine', 'door', '--app', app], fields: ['id', 'initial', 'states'], text: /^stateDiagram-v2\n {2}state "/ },
  { args: ['completion', 'bash'], text: /_perdure/ },
  { args: ['serve-script', 'SCRIPT'], text: /^http:\/\/127\.0\.0\.1:\d+/, goesOn: true, code: 1 },
  { args: ['help'], text: /^Usage: perdure / },
]
/** Those that take no store. */
const storeless = new Set(['machine', 'completion', 'serve-script', 'help'])

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

interface Place {
  readonly env: Readonly<Record<string, string>>
  readonly goesOn?: true | undefined
}

/** Runs the program in a pipe, or in a terminal, which has one stream for all. */
async function run(how: 'pipe' | 'terminal', args: readonly string[], { env, goesOn }: Place): Promise<Ended> {
  const words = [process.execPath, ...mainProgram, ...args]
  const inTerminal = `stty cols ${COLUMNS} rows 24; exec ${words.map((word) => `'${word}'`).join(' ')}`
  const [command = '', ...rest] = how === 'pipe' ? words : [recorder, '-qec', inTerminal, '/dev/null']
  const child = spawn(command, rest, { env: { PATH: process.env.PATH, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  const said = { out: '', err: '' }
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text
  })
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const isFirst = !said.out.includes('\n') && text.includes('\n')
    said.out += text
    if (goesOn === undefined || !isFirst) return
    if (how === 'pipe') child.kill('SIGINT')
    else child.stdin.write('\u0003')
  })
  const [code] = await once(child, 'close')
  return { ...said, code }
}

test('every command that `--help` lists has a row', async () => {
  const { out } = await run('pipe', ['--help'], { env: {} })
  const listed = [...out.slice(out.indexOf('Commands:')).matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name)
  assert.ok(listed.length > 20)
  assert.deepEqual(new Set(rows.map(({ args: [name] }) => name)), new Set([...listed, 'run-ids']))
})

describe('every command', { concurrency: true }, () => {
  let room: Awaited<ReturnType<typeof createManagedRoom>>
  before(async () => {
    room = await createManagedRoom()
  })
  after(() => room.remove())

  for (const whose of ['a live owner', 'a closed store'] as const)
    for (const how of ['pipe', 'terminal'] as const)
      test(`works through ${whose} in a ${how}`, {
        skip: how === 'terminal' && !isTerminalHere && `there is no \`${recorder}\``,
      }, async (t) => {
        const dir = await room.copy()
        const names: Readonly<Record<string, string>> = { FILE: room.path('run.perdure'), SCRIPT: `${room.path('script')}.json` }
        await writeFile(names.SCRIPT ?? '', '["Hello."]')
        const owner = whose === 'a live owner' ? await startOwner(dir) : undefined
        const env = { TERM: 'xterm-256color', NODE_COMPILE_CACHE: room.path('cache') }
        for (const row of rows)
          await t.test(row.args.join(' ').replaceAll(app, 'APP'), async () => {
            const [name = ''] = row.args
            const args = row.args.map((word) => names[word] ?? word)
            const isJson = how === 'pipe' && row.fields !== undefined
            const all = [...args, ...(storeless.has(name) ? [] : ['--dir', dir]), ...(isJson ? ['--json'] : [])]
            const { code, out, err } = await run(how, all, { env, goesOn: row.goesOn })
            assert.equal(code, row.code ?? 0, `${out}${err}`)
            if (how === 'terminal') assertPicture(row, out)
            else if (isJson) assertObjects(row, out, err)
            else assert.match(out, row.text)
            if (how === 'pipe') assert.equal(out + err, stripVTControlCharacters(out + err), 'colours in a pipe')
          })
        await owner?.finish()
      })
})

function assertPicture({ text, isPainted, fits }: Row, out: string): void {
  const plain = stripVTControlCharacters(out).replaceAll('\r\n', '\n').replace(/\^C/g, '')
  assert.match(plain, text)
  assert.equal(stripVTControlCharacters(out) !== out, isPainted === true, `colours: ${JSON.stringify(out.slice(0, 200))}`)
  if (fits === true) for (const line of plain.split('\n')) assert.ok(line.length <= COLUMNS, line)
}

/** One object a line, and nothing else. What went wrong is on stderr alone. */
function assertObjects({ fields = [], text, code = 0 }: Row, out: string, err: string): void {
  if (fields.length === 0) {
    assert.equal(out, '')
    if (code !== 0) assert.match(err, text)
    return
  }
  const objects = parseLines(out)
  assert.ok(objects.length > 0)
  for (const object of objects) for (const field of fields) assert.ok(field in object, `no ${field}: ${JSON.stringify(object)}`)
  assert.equal(err, '')
}
