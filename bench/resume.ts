import { cpSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench, Measure } from './bench.ts'
import { endChild, startChild } from './child.ts'
import { absolute, median, relative, toText } from './figure.ts'

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

/** What a process tells of its life, in milliseconds since it began. */
interface Phases {
  readonly importedAt: number
  readonly openedAt?: number
  readonly doneAt: number
}

const medianOf = (phases: readonly Phases[], field: keyof Phases): number =>
  median(phases.map((each) => each[field] ?? Number.NaN))

/** Where the time of a resume goes. */
function toBounds(phases: readonly Phases[], bare: readonly Phases[]): string {
  const [imported, opened, done] = (['importedAt', 'openedAt', 'doneAt'] as const).map((field) => medianOf(phases, field))
  const ms = (value = Number.NaN): string => `${toText(value)} ms`
  return (
    `The process has started and loaded its modules after ${ms(imported)} (the bare log, which needs \`level\` alone: ${ms(medianOf(bare, 'importedAt'))}); to load the rest and open the store takes ` +
    `${ms((opened ?? 0) - (imported ?? 0))}, to bring the conversation into memory and make the call ${ms((done ?? 0) - (opened ?? 0))} (the bare log: ${ms(medianOf(bare, 'doneAt') - medianOf(bare, 'importedAt'))} for all of that).`
  )
}

/** How long it takes from the start of a process until the next call of a killed conversation has settled. */
export const measureResume: Measure = async (bench) => {
  const stores = {
    bare: {
      program: reference,
      turns: TURNS,
      copy: await killIn(reference, TURNS, bench),
      times: [] as number[],
      phases: [] as Phases[],
    },
    few: { program: subject, turns: 10, copy: await killIn(subject, 10, bench), times: [] as number[], phases: [] as Phases[] },
    some: {
      program: subject,
      turns: TURNS,
      copy: await killIn(subject, TURNS, bench),
      times: [] as number[],
      phases: [] as Phases[],
    },
    many: {
      program: subject,
      turns: MANY_TURNS,
      copy: await killIn(subject, MANY_TURNS, bench),
      times: [] as number[],
      phases: [] as Phases[],
    },
  }
  let repeated = 0
  for (let round = 0; round < 2 * bench.rounds + 1; round++) {
    for (const { program, turns, copy, times, phases } of Object.values(stores)) {
      const { child, told } = await startChild(program, 'resume', copy(), String(turns))
      await endChild(child)
      const life = JSON.parse(told.line) as Phases & { readonly models: number; readonly tools: number } // printed by the child
      if (round > 0) {
        times.push(told.ms) // the first reads what is not yet in the page cache
        phases.push(life)
      }
      if (program !== subject) continue
      repeated += life.models + life.tools - 1
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
      bounds: toBounds(some.phases, bare.phases),
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
