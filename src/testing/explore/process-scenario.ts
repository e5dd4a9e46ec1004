import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deserialize } from 'node:v8'
import type { ChildTask } from './child.ts'
import { type ChildLife, liveInChild } from './child-life.ts'
import type { LifeEnd } from './life.ts'
import { type OutsideLine, readOutsideFile } from './outside-file.ts'
import { readRecords } from './records.ts'
import { begin, type LivedLife, type Scenario, type ScenarioSettings } from './scenario.ts'
import type { Schedule } from './schedule.ts'
import { readDump } from './store-dump.ts'
import { unlockReader } from './unlocked-reader.ts'

/** Where processes live and leave their files. */
export interface ProcessRoom {
  readonly folder: string
  readonly cache: string
  remove(): Promise<void>
}

export async function createProcessRoom(): Promise<ProcessRoom> {
  const folder = await mkdtemp(join(tmpdir(), 'perdure-crashes-'))
  return { folder, cache: join(folder, 'cache'), remove: () => rm(folder, { recursive: true, force: true }) }
}

export interface ProcessScenario extends Scenario {
  /** From when the last life began to open its store to its end, in milliseconds. */
  readonly lastedMs: number
}

/** A life as it left its files. */
interface Left {
  readonly task: ChildTask
  readonly child: ChildLife
  readonly lines: readonly OutsideLine[]
}

/** As `runScenario`, and each life is a process that ends by SIGKILL, on a LevelDB on disk. Rejects when a process cannot be started. */
export async function runProcessScenario(
  module: URL,
  schedule: Schedule,
  settings: ScenarioSettings,
  room: ProcessRoom,
): Promise<ProcessScenario> {
  const folder = await mkdtemp(join(room.folder, 'scenario-'))
  try {
    return await playProcesses(module, schedule, settings, room.cache, folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function playProcesses(
  module: URL,
  schedule: Schedule,
  settings: ScenarioSettings,
  cache: string,
  folder: string,
): Promise<ProcessScenario> {
  const lives: Left[] = []
  const acknowledged = new Set<string>()
  let now = begin
  for (;;) {
    const number = lives.length + 1
    const place = join(folder, String(number))
    await mkdir(place)
    const death = schedule[lives.length]
    const [fate, instant] = death === undefined ? [] : 'afterMs' in death ? [undefined, death] : [death, undefined]
    const task: ChildTask = {
      module: module.href,
      directory: join(folder, 'store'),
      files: {
        outside: join(place, 'outside'),
        before: join(place, 'before'),
        after: join(place, 'after'),
        output: join(place, 'output'),
      },
      number,
      now,
      acknowledged: [...acknowledged],
      fate,
      random: settings.seed + lives.length,
      timeoutMs: settings.timeoutMs,
    }
    const child = await liveInChild(task, cache, instant)
    const lines = existsSync(task.files.outside) ? readOutsideFile(task.files.outside) : []
    lives.push({ task, child, lines })
    if (child.end !== 'died') return await toScenario(schedule, lives)
    now = toEndTime(now, lines)
    for (const line of lines) if (line.type === 'acknowledged') acknowledged.add(line.name)
    for (const name of acknowledged) if (settings.forget?.(name)) acknowledged.delete(name)
  }
}

/** What time it was at the end of a life that began at `now`. */
const toEndTime = (now: number, lines: readonly OutsideLine[]): number =>
  lines.findLast((line) => line.type === 'time')?.now ?? now

async function toScenario(schedule: Schedule, left: readonly Left[]): Promise<ProcessScenario> {
  const last = left.at(-1)
  if (last === undefined) throw new Error('A program has at least one life')
  const { end, writes } = toEnd(last)
  const lives: LivedLife[] = []
  const keys = toStoreKeys(left)
  for (const [index, { lines, child }] of left.entries()) {
    const seen = lines.filter((line) => line.type !== 'time' && line.type !== 'end' && line.type !== 'unlocked')
    // The store is as it was left by a death until the next life that came to begin.
    const next = left.slice(index + 1).find(({ task }) => existsSync(task.files.before))
    const records =
      child.end !== 'died' || next === undefined
        ? undefined
        : await readRecords(await unlockReader(readDump(next.task.files.before), keys), 'steps')
    lives.push({
      seen,
      left: records,
      endedAt: toEndTime(lives.at(-1)?.endedAt ?? begin, lines),
      writes: index === left.length - 1 ? writes : 0,
    })
  }
  const { after } = last.task.files
  const records = existsSync(after)
    ? await readRecords(await unlockReader(readDump(after), keys), 'all')
    : { runs: new Map(), waiting: new Map() }
  return { schedule, lives, end, records, lastedMs: last.child.lastedMs }
}

/** Those that any life opened the store with, each once. */
const toStoreKeys = (left: readonly Left[]): readonly Uint8Array[] => {
  const all = left.flatMap(({ lines }) => lines.flatMap((line) => (line.type === 'unlocked' ? line.keys : [])))
  return [...new Set(all)].map((key) => Buffer.from(key, 'base64'))
}

function toEnd({ task, child, lines }: Left): { readonly end: Scenario['end']; readonly writes: number } {
  if (child.end === 'late') return { end: { type: 'late' }, writes: 0 }
  const line = lines.find((one) => one.type === 'end')
  if (child.end === 'failed' || line === undefined)
    return { end: { type: 'rejected', error: new Error(`Its process failed. ${child.errors.trim()}`) }, writes: 0 }
  const { writes } = line
  if (line.end === 'rejected') return { end: { type: 'rejected', error: new Error(line.message) }, writes }
  if (line.end !== 'resolved') return { end: { type: line.end }, writes }
  const end: LifeEnd = { type: 'resolved', output: deserialize(readFileSync(task.files.output)) as unknown }
  return { end, writes }
}
