import { isDeepStrictEqual } from 'node:util'
import { toMessage } from '../../errors.ts'
import { describeDifference } from './difference.ts'
import { type FinalRun, toFinalRuns } from './final-state.ts'
import type { StoreRecords } from './records.ts'
import type { LivedLife, Scenario } from './scenario.ts'
import { findUncounted } from './spending.ts'
import { findUntimely, type Times, toTimes } from './timeliness.ts'

/** What can be wrong with a scenario. */
export type ProblemKind = 'repeatedCall' | 'doubledEffect' | 'divergedState' | 'stuckRun' | 'lostEvent'

export interface Problem {
  readonly kind: ProblemKind
  /** A sentence. */
  readonly text: string
}

/** The run without any death, in the form in which others are held against it. */
export interface Reference {
  readonly scenario: Scenario
  readonly runs: ReadonlyMap<string, FinalRun>
  readonly effects: ReadonlyMap<string, number>
  readonly requests: number
  /** `undefined`: they are drawn anew each time. */
  readonly times: Times | undefined
}

export function toReference(scenario: Scenario): Reference {
  return {
    scenario,
    runs: toFinalRuns(scenario.records),
    effects: countEffects(scenario.lives),
    requests: countRequests(scenario),
    times: toTimes(scenario),
  }
}

export interface Judgement {
  readonly problems: readonly Problem[]
  /** Steps that were in flight at a death: intended, with no outcome on record. */
  readonly inDoubt: number
  /** Steps that came out of doubt with a report, or by a person's answer: their outcome may differ. */
  readonly reported: number
}

export type Accepts = (output: unknown, reference: unknown) => boolean

/** Holds a scenario against the reference. */
export function judge(scenario: Scenario, reference: Reference, accepts: Accepts = () => true): Judgement {
  const { inDoubt, lost } = countOpen(scenario.lives)
  const reported = countReported(scenario)
  const again = lost + countStartedOver(scenario, 'model')
  const problems = [
    ...findRepeated(scenario, reference),
    ...findOverpaid(scenario, reference, again),
    ...findEffects(scenario, reference, reported > 0),
    ...findUnfinished(scenario, reference),
    ...(reported > 0
      ? [...findUnaccepted(scenario, reference, accepts), ...toDiverged(findLeft(scenario.records, reference.scenario.records))]
      : [
          ...findDivergence(scenario, reference),
          ...toDiverged(
            findUncounted(scenario.records, reference.scenario.records, inDoubt + again + countStartedOver(scenario, 'tool')),
          ),
          ...toDiverged(reference.times === undefined ? [] : findUntimely(toTimes(scenario), reference.times, scenario.lives)),
        ]),
    ...toDiverged(findUnheard(scenario, reference)),
  ]
  return { problems, inDoubt, reported }
}

/** P2: what had settled is never executed again. */
function* findRepeated({ lives }: Scenario, reference: Reference): Iterable<Problem> {
  const settled = new Map<string, string>()
  for (const [index, { seen, left }] of lives.entries()) {
    for (const one of seen) {
      const id =
        one.type === 'call'
          ? `${one.run}#${one.key}`
          : one.type === 'checkpoint'
            ? toCheckpoint(one.run, one.kind, one.name)
            : one.type === 'effect'
              ? one.key // the runtime need not tell of what it executes: the outside sees it, if it is given the key of the call
              : undefined
      const earlier = id === undefined ? undefined : settled.get(id)
      if (earlier !== undefined)
        yield {
          kind: 'repeatedCall',
          text: `Life ${index + 1} executed ${earlier} again, which an earlier life had on record as settled.`,
        }
    }
    for (const [run, { steps }] of left?.runs ?? []) {
      const final = reference.runs.get(run)
      for (const [key, { kind, name, status, retryAt }] of steps) {
        const known = final?.steps[key] as { readonly status?: string } | undefined // see `toFinalRuns`
        // A failure may be followed by another try. The last one is not.
        if (status !== 'ok' && (status !== 'error' || retryAt !== undefined || known?.status !== 'error')) continue
        settled.set(`${run}#${key}`, `${kind} \`${name}\` (\`${key}\` of run \`${run}\`)`)
        if (status === 'ok') settled.set(toCheckpoint(run, kind, name), `checkpoint \`${name}\` of run \`${run}\``)
      }
    }
  }
}

const toCheckpoint = (run: string, kind: string, name: string): string => `${run} ${kind} ${name}`

/** No request is paid besides those of the reference and those whose answer was lost in a death. */
function* findOverpaid(scenario: Scenario, { requests }: Reference, lost: number): Iterable<Problem> {
  const paid = countRequests(scenario)
  if (paid > requests + lost)
    yield {
      kind: 'repeatedCall',
      text: `${paid} requests to models were paid. Without a death they are ${requests}, and ${lost} were in flight at deaths.`,
    }
}

function* findEffects(scenario: Scenario, reference: Reference, isReported: boolean): Iterable<Problem> {
  const effects = countEffects(scenario.lives)
  const startedOver = countStartedOver(scenario, 'tool')
  for (const name of new Set([...effects.keys(), ...reference.effects.keys()])) {
    const [count, expected] = [effects.get(name) ?? 0, reference.effects.get(name) ?? 0]
    if (count > expected + startedOver)
      yield {
        kind: 'doubledEffect',
        text: `The outside saw the effect \`${name}\` ${times(count)} instead of ${times(expected)}.`,
      }
    else if (count < expected && !isReported)
      yield {
        kind: 'divergedState',
        text: `The outside saw the effect \`${name}\` ${times(count)} instead of ${times(expected)}.`,
      }
  }
}

function* findUnfinished({ end, lives }: Scenario, { scenario: { end: expected } }: Reference): Iterable<Problem> {
  const life = `Life ${lives.length}`
  if (end.type === 'stuck')
    yield { kind: 'stuckRun', text: `${life} is stuck: it has not resolved, and nothing is under way that could bring it on.` }
  if (end.type === 'late') yield { kind: 'stuckRun', text: `${life} came to no end in time.` }
  if (end.type === 'rejected' && expected.type === 'resolved')
    yield { kind: 'divergedState', text: `${life} failed: ${toMessage(end.error)}` }
}

function* findUnaccepted({ end }: Scenario, { scenario: { end: expected } }: Reference, accepts: Accepts): Iterable<Problem> {
  if (end.type !== 'resolved' || expected.type !== 'resolved' || isDeepStrictEqual(end.output, expected.output)) return
  if (accepts(end.output, expected.output)) return
  yield {
    kind: 'divergedState',
    text: `A step was reported as in doubt, and \`accepts\` does not take the output: ${describeDifference(end.output, expected.output)}.`,
  }
}

function* toDiverged(texts: Iterable<string>): Iterable<Problem> {
  for (const text of texts) yield { kind: 'divergedState', text }
}

/** What is heard is a part of what is heard without a death, in its order. */
function* findUnheard({ lives }: Scenario, reference: Reference): Iterable<string> {
  const expected = toHeard(reference.scenario.lives)
  for (const [source, all] of toHeard(lives)) {
    const left = [...(expected.get(source) ?? [])]
    for (const what of all) {
      const index = left.indexOf(what)
      if (index === -1) yield `\`${what}\` was heard of \`${source}\` twice, too late, or though it never is.`
      else left.splice(0, index + 1)
    }
  }
}

function toHeard(lives: readonly LivedLife[]): Map<string, string[]> {
  const heard = new Map<string, string[]>()
  for (const { seen } of lives)
    for (const one of seen) {
      if (one.type !== 'heard') continue
      const all = heard.get(one.source) ?? []
      heard.set(one.source, all)
      all.push(one.what)
    }
  return heard
}

/** Whatever was reported, no run is left over, and no message. */
function* findLeft(actual: StoreRecords, expected: StoreRecords): Iterable<string> {
  for (const [id, { head }] of expected.runs) {
    const other = actual.runs.get(id)
    if (head.endedAt !== undefined && other !== undefined && other.head.endedAt === undefined)
      yield `Run \`${id}\` is \`${other.head.status}\` instead of \`${head.status}\`.`
  }
  for (const [id, count] of actual.waiting)
    if (count > 0 && !expected.waiting.has(id)) yield `Run \`${id}\` leaves ${count} messages behind.`
}

function* findDivergence(scenario: Scenario, reference: Reference): Iterable<Problem> {
  const { end } = scenario
  const expected = reference.scenario.end
  if (end.type !== 'resolved' || expected.type !== 'resolved') return
  const diverged = (text: string): Problem => ({ kind: 'divergedState', text })
  if (!isDeepStrictEqual(end.output, expected.output))
    yield diverged(`The output differs: ${describeDifference(end.output, expected.output)}.`)
  const runs = toFinalRuns(scenario.records)
  for (const id of new Set([...runs.keys(), ...reference.runs.keys()])) {
    const [run, other] = [runs.get(id), reference.runs.get(id)]
    if (run === undefined) yield diverged(`There is no run \`${id}\`.`)
    else if (other === undefined) yield diverged(`There is a run \`${id}\` (${run.what}) that the run without a death has not.`)
    else if (!isDeepStrictEqual(run, other))
      yield diverged(`The ${run.what} run \`${id}\` differs: ${describeDifference(run, other)}.`)
  }
}

function countEffects(lives: readonly LivedLife[]): Map<string, number> {
  const counts = new Map<string, number>()
  const keys = new Set<string>()
  for (const { seen } of lives)
    for (const one of seen) {
      if (one.type !== 'effect') continue
      const id = JSON.stringify([one.name, one.key])
      if (one.key !== undefined && keys.has(id)) continue
      keys.add(id)
      counts.set(one.name, (counts.get(one.name) ?? 0) + 1)
    }
  return counts
}

function countRequests({ lives }: Scenario): number {
  let count = 0
  for (const { seen } of lives) for (const { type } of seen) if (type === 'request') count++
  return count
}

/** What was open at the deaths: steps on record as in doubt, and model calls without a settled record. */
function countOpen(lives: readonly LivedLife[]): { readonly inDoubt: number; readonly lost: number } {
  let inDoubt = 0
  let lost = 0
  for (const { seen, left } of lives) {
    if (left === undefined) continue
    for (const { steps } of left.runs.values())
      for (const { kind, status } of steps.values()) if (status === 'intended' && executed.has(kind)) inDoubt++
    for (const one of seen)
      if (one.type === 'call' && one.kind === 'model' && left.runs.get(one.run)?.steps.get(one.key)?.status !== 'ok') lost++
  }
  return { inDoubt, lost }
}

const executed: ReadonlySet<string> = new Set(['model', 'tool', 'step'])

function countReported({ lives, records }: Scenario): number {
  const found = new Set<string>()
  for (const { runs } of [...lives.map(({ left }) => left), records].filter((one) => one !== undefined))
    for (const [run, { steps }] of runs)
      for (const [key, { resolution }] of steps)
        if (resolution === 'reported' || resolution === 'answered') found.add(`${run}#${key}`)
  return found.size
}

/** Calls of turns that are checkpoints as a whole: one that was cut off starts over, and its calls are made anew. */
function countStartedOver({ lives, records }: Scenario, of: 'model' | 'tool'): number {
  const found = new Set<string>()
  for (const { left } of lives)
    for (const [run, { steps }] of left?.runs ?? []) {
      const last = records.runs.get(run)
      if (last === undefined) continue
      for (const [key, { kind }] of steps)
        if (kind === of && /^call\/\d+\./.test(key) && !last.steps.has(key)) found.add(`${run}#${key}`)
    }
  return found.size
}

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`)
