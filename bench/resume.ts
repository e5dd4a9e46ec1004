import { cpSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench, Measure } from './bench.ts'
import { endChild, startChild } from './child.ts'
import { absolute, median, relative } from './figure.ts'

const TURNS = 200
const MANY_TURNS = 2_000

const subject = 'resume-child.ts'
const reference = 'resume-reference.ts'

/** A store whose process was killed in the middle of turn `turns`: each call gives a copy of it. */
async function killIn(program: string, turns: number, { folder }: Bench): Promise<() => string> {
  const path = folder(`${program}-${turns}`)
  const { child } = await startChild(program, 'fill', join(path, 'killed'), String(turns))
  await endChild(child, 'SIGKILL')
  let copies = 0
  return () => {
    const copy = join(path, `copy-${copies++}`)
    cpSync(join(path, 'killed'), copy, { recursive: true })
    return copy
  }
}

/** How long it takes from the start of a process until the next call of a killed conversation has settled. */
export const measureResume: Measure = async (bench) => {
  const stores = {
    bare: { program: reference, turns: TURNS, copy: await killIn(reference, TURNS, bench), times: [] as number[] },
    few: { program: subject, turns: 10, copy: await killIn(subject, 10, bench), times: [] as number[] },
    some: { program: subject, turns: TURNS, copy: await killIn(subject, TURNS, bench), times: [] as number[] },
    many: { program: subject, turns: MANY_TURNS, copy: await killIn(subject, MANY_TURNS, bench), times: [] as number[] },
  }
  let repeated = 0
  for (let round = 0; round < 2 * bench.rounds + 1; round++) {
    for (const { program, turns, copy, times } of Object.values(stores)) {
      const { child, told } = await startChild(program, 'resume', copy(), String(turns))
      await endChild(child)
      if (round > 0) times.push(told.ms) // the first reads what is not yet in the page cache
      if (program !== subject) continue
      const { models, tools } = JSON.parse(told.line) as { readonly models: number; readonly tools: number } // printed by the child
      repeated += models + tools - 1
    }
  }
  const { bare, few, some, many } = stores
  const ratio = median(some.times.map((ms, round) => ms / (bare.times[round] ?? Number.NaN)))
  return [
    {
      ...relative(
        `resume after kill -9 at turn ${TURNS}, process start to next call done`,
        median(some.times),
        'ms',
        { value: median(bare.times), name: 'a bare LevelDB log of the same messages' },
        { atMost: 1.5 },
      ),
      ratio,
      ok: ratio <= 1.5,
    },
    relative(
      `the same, against turn 10`,
      median(some.times),
      'ms',
      { value: median(few.times), name: 'at turn 10' },
      { atMost: 1.1 },
    ),
    relative(`resume at turn ${MANY_TURNS.toLocaleString('en-US')}`, median(many.times), 'ms', {
      value: median(few.times),
      name: 'at turn 10',
    }),
    absolute('settled calls repeated by these resumes', repeated, '', { atMost: 0 }),
  ]
}
