/** The program `perdure`, as a shell runs it: help, exit codes, a pipe, a pseudo terminal, Ctrl-C, completion. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { mainProgram as node, runMain as run } from '../support/cli-program.ts'
import { createManagedRoom, damage, type Owner, startOwner } from '../support/managed-store.ts'

const commands = [
  'ls',
  'show',
  'logs',
  'transcript',
  'pending',
  'answer',
  'approve',
  'deny',
  'send',
  'resume',
  'cancel',
  'settle',
  'fork',
  'delete',
  'stats',
  'verify',
  'gc',
  'export',
  'import',
  'replay',
  'diff',
  'completion',
]

/** Runs a program in a pseudo terminal. */
const recorder = 'script'
const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined

describe('perdure', () => {
  let room: Awaited<ReturnType<typeof createManagedRoom>>
  let owner: Owner
  let dir: string
  before(async () => {
    room = await createManagedRoom()
    dir = await room.copy()
    owner = await startOwner(dir)
  })
  after(async () => {
    await owner.finish()
    await room.remove()
  })

  test('has a help with an example for each command, and its version', async () => {
    const version = await run(['--version'])
    assert.deepEqual([version.code, /^\d+\.\d+\.\d+\S*\n$/.test(version.out)], [0, true])
    const { out } = await run(['--help'])
    for (const command of commands) assert.match(out, new RegExp(`^  ${command}\\b`, 'm'))
    assert.doesNotMatch(out, /run-ids/)
    const helps = await Promise.all(commands.map(async (command) => [command, (await run([command, '--help'])).out] as const))
    for (const [command, help] of helps) assert.match(help, new RegExp(`Example: .*perdure ${command}`), command)
  })

  test('says by its exit code whether it could be done, and what is wrong on stderr alone', async () => {
    const ended = await Promise.all([
      run(['ls', '--dir', dir]),
      run(['show', 'nobody', '--dir', dir]),
      run(['ls', '--dir', room.path('none')]),
      run(['ls', '--colour', '--dir', dir]),
      run(['nonsense']),
    ])
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 1, 2, 2, 2],
    )
    for (const { out, err } of ended.slice(1)) assert.deepEqual([out, err === ''], ['', false])
  })

  test('finds the store by PERDURE_DIR, and writes no colours into a pipe', async () => {
    const { out, code } = await run(['ls'], { PERDURE_DIR: dir })
    assert.equal(code, 0)
    assert.match(out, /^RUN +STATUS/)
    assert.equal(out, stripVTControlCharacters(out))
    const coloured = await run(['ls'], { PERDURE_DIR: dir, FORCE_COLOR: '1' })
    assert.equal(stripVTControlCharacters(coloured.out).split('\n').length, out.split('\n').length)
    assert.notEqual(coloured.out, stripVTControlCharacters(coloured.out))
  })

  for (const { command, exitCode } of [
    { command: ['ls'], exitCode: 0 },
    { command: ['diff', 'helper/ann', 'report/1/helper'], exitCode: 1 },
  ])
    test(`colours what \`${command[0]}\` writes to a terminal, and fits it`, {
      skip: !has(recorder) && 'there is no `script`',
    }, async () => {
      const program = [process.execPath, ...node, ...command, '--dir', dir].map((word) => `'${word}'`).join(' ')
      const child = spawn(recorder, ['-qec', `stty cols 60 rows 20; ${program}`, '/dev/null'], {
        env: { PATH: process.env.PATH, TERM: 'xterm-256color' },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let out = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text
      })
      const [code] = await once(child, 'close')
      assert.equal(code, exitCode)
      const lines = stripVTControlCharacters(out).trimEnd().split(/\r?\n/)
      assert.ok(lines.length > 4 && lines.every((line) => line.length <= 60), lines.join('\n'))
      assert.notEqual(out, stripVTControlCharacters(out))
    })

  test('looks after a store in a pipe: no colours, and what is wrong by the exit code', async () => {
    const file = room.path('run.perdure')
    const ended = [
      await run(['verify', '--dir', dir]),
      await run(['stats', '--json', '--dir', dir]),
      await run(['gc', '--dir', dir]),
      await run(['export', 'report/1', '-o', file, '--dir', dir]),
      await run(['import', file, '--id', 'report/copy', '--dir', dir]),
      await run(['import', file, '--dir', dir]),
      await run(['verify', '--dir', await damage(await room.copy())]),
    ]
    assert.deepEqual(
      ended.map(({ code }) => code),
      [0, 0, 0, 0, 0, 1, 1],
    )
    for (const { out } of ended) assert.equal(out, stripVTControlCharacters(out))
    const piped = spawn(process.execPath, [...node, 'import', '-', '--id', 'report/piped', '--dir', dir], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    createReadStream(file).pipe(piped.stdin)
    const [code] = await once(piped, 'exit')
    assert.equal(code, 0)
    assert.equal((await run(['show', 'report/piped', '--dir', dir])).code, 0)
    for (const copy of ['report/copy', 'report/piped']) await run(['delete', copy, '--yes', '--dir', dir])
  })

  test('looks after a store on a terminal, in colours', { skip: !has(recorder) && 'there is no `script`' }, async () => {
    const damaged = await damage(await room.copy())
    const onTerminal = async (args: readonly string[]): Promise<{ readonly code: number | null; readonly out: string }> => {
      const program = [process.execPath, ...node, ...args].map((word) => `'${word}'`).join(' ')
      const child = spawn(recorder, ['-qec', `stty cols 100 rows 20; ${program}`, '/dev/null'], {
        env: { PATH: process.env.PATH, TERM: 'xterm-256color' },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let out = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text
      })
      const [code] = await once(child, 'close')
      return { code, out }
    }
    const verified = await onTerminal(['verify', '--dir', damaged])
    assert.equal(verified.code, 1)
    const lines = stripVTControlCharacters(verified.out).split(/\r?\n/)
    assert.match(lines[0] ?? '', /^✖ report\/1: The record `\S+` does not match its checksum\.$/)
    assert.notEqual(verified.out, stripVTControlCharacters(verified.out))
    const file = room.path('run.perdure')
    for (const args of [['stats'], ['gc'], ['export', 'report/1', '-o', file], ['import', file, '--id', 'report/copy']]) {
      const { code, out } = await onTerminal([...args, '--dir', dir])
      assert.equal(code, 0, `${args[0]}: ${out}`)
      assert.notEqual(out, '')
    }
    await run(['delete', 'report/copy', '--yes', '--dir', dir])
  })

  test('ends with 130 at Ctrl-C, and leaves the store to its owner', async () => {
    const child = spawn(process.execPath, [...node, 'ls', '--watch', '--json', '--dir', dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGINT')
    const [code] = await once(child, 'exit')
    assert.equal(code, 130)
    assert.equal((await run(['ls', '--dir', dir])).code, 0)
  })

  for (const waiting of [
    ['logs', 'helper/ann', '--follow'],
    ['ls', '--watch'],
  ])
    test(`hears at once when the owner is killed while it waits in \`${waiting.join(' ')}\``, async () => {
      const directory = await room.copy()
      const other = await startOwner(directory)
      const child = spawn(process.execPath, [...node, ...waiting, '--json', '--dir', directory])
      let err = ''
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        err += text
      })
      await once(child.stdout, 'data')
      await other.kill()
      const [code] = await once(child, 'exit')
      assert.equal(code, 2)
      assert.match(err, new RegExp(`^perdure ${waiting[0]}: OWNER_GONE: `))
    })

  test('goes on quietly when the one who reads it has gone', async () => {
    const child = spawn(process.execPath, [...node, 'ls', '--json', '--all', '--dir', dir], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let err = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text
    })
    const [code] = await once(child, 'exit')
    assert.deepEqual([code, err], [0, ''])
  })

  test('completes commands, options and run ids in bash', { skip: !has('bash') && 'there is no bash' }, async () => {
    const { out: script } = await run(['completion', 'bash'])
    const file = room.path('completion')
    await writeFile(file, script)
    const complete = (words: readonly string[]): string[] => {
      const array = words.map((word) => `'${word}'`).join(' ')
      const perdure = `perdure() { '${process.execPath}' ${node.map((word) => `'${word}'`).join(' ')} "$@"; }`
      const code = `${perdure}; source '${file}'; COMP_WORDS=(${array}); COMP_CWORD=${words.length - 1}; _perdure; printf '%s\\n' "\${COMPREPLY[@]}"`
      const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', code], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, PERDURE_DIR: dir },
      })
      assert.equal(stderr, '')
      return stdout.trimEnd().split('\n')
    }
    assert.deepEqual(complete(['perdure', 'tr']), ['transcript'])
    assert.deepEqual(complete(['perdure', 'deny', '--re']), ['--reason'])
    assert.deepEqual(complete(['perdure', 'show', 'door/']), ['door/ajar', 'door/broken', 'door/shut'])
    const others = await Promise.all([run(['completion', 'zsh']), run(['completion', 'fish']), run(['completion', 'csh'])])
    assert.deepEqual(
      others.map(({ code }) => code),
      [0, 0, 2],
    )
    assert.match(
      others[1]?.out ?? '',
      /^complete -c perdure -n '__fish_seen_subcommand_from show' -a '\(perdure run-ids 2>\/dev\/null\)'$/m,
    )
  })
})
