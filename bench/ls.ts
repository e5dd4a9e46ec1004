import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Measure } from './bench.ts'
import { endChild, startChild } from './child.ts'
import { absolute, type Figure, median } from './figure.ts'
import { fillStore } from './waiting-store.ts'

const run = promisify(execFile)
const program = fileURLToPath(new URL('../dist/perdure.js', import.meta.url))
const PAGE = 100

/** How long `perdure ls` takes to show its first page, over the start of the program: on a store that nobody has open, and through a process that has. */
export const measureLs: Measure = async ({ rounds, folder }) => {
  const [directory, empty] = [folder('ls'), folder('ls-none')]
  await fillStore(directory)
  const startMs = await measureMs(rounds, ['--version'])

  const measure = async (name: string): Promise<Figure> => {
    const ms = (await measureMs(rounds, ['ls', '--dir', directory], PAGE)) - startMs
    const reference = (await measureMs(rounds, ['ls', '--dir', empty, '--json'])) - startMs
    return absolute(name, ms, 'ms', { atMost: 200 }, { value: reference, name: 'a store without any' })
  }
  const owners = async (): Promise<readonly { readonly end: () => Promise<void> }[]> =>
    Promise.all(
      [directory, empty].map(async (path) => {
        const { child } = await startChild('ls-owner.ts', path)
        return { end: () => endChild(child, 'SIGTERM') }
      }),
    )
  for (const { end } of await owners()) await end() // makes the empty store
  const closed = await measure('first page of `perdure ls`, 100,000 runs, nobody has them open')
  const opened = await owners()
  const live = await measure('the same, an app has them open')
  for (const { end } of opened) await end()
  return [closed, live]
}

/** The median of some runs of the program, the first of which does not count. */
async function measureMs(rounds: number, args: readonly string[], rows?: number): Promise<number> {
  const all: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const startedAt = performance.now()
    const { stdout } = await run(process.execPath, [program, ...args])
    if (round > 0) all.push(performance.now() - startedAt)
    const found = stdout.split('\n').filter((line) => line.startsWith('run-')).length
    if (rows !== undefined && found !== rows) throw new Error(`Expected ${rows} runs, got ${found}`)
  }
  return median(all)
}
