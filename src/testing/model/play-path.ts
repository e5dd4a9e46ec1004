import { isDeepStrictEqual } from 'node:util'
import type { AnyMachineSnapshot, Snapshot } from 'xstate'
import { toMessage } from '../../errors.ts'
import type { Run } from '../../runtime/run.ts'
import { describeDifference } from '../explore/difference.ts'
import { createImage, type StoreImage } from '../explore/image.ts'
import { type TestClock, testClock } from '../test-clock.ts'
import type { Coverage } from './coverage.ts'
import type { ModelPath } from './model-graph.ts'
import { type EdgeDeath, type ModelLife, openLife } from './model-life.ts'
import type { ModelState, ModelStep } from './model-machine.ts'
import type { ScriptedActors } from './scripted-actors.ts'

/** What a durable run is held against its model with. */
export interface PathRoom {
  readonly input: unknown
  readonly actors: ScriptedActors
  readonly coverage: Coverage
  readonly crash: boolean
  readonly context: boolean
  /** Checks of the user's, by state. */
  readonly states: Readonly<Record<string, (snapshot: AnyMachineSnapshot, run: Run) => void | Promise<void>>>
}

/** What came of a path. `failure` says after how many of its steps the run was not as the model. */
export interface PlayedPath {
  readonly events: number
  readonly deaths: number
  readonly failure?: { readonly step: number; readonly problem: string; readonly cause?: unknown } | undefined
}

/** Plays a path on a durable run; of it no more than `steps`. */
export async function playPath({ steps, states }: ModelPath, upTo: number, room: PathRoom): Promise<PlayedPath> {
  const play = await createPlay(room)
  let step = 0
  try {
    for (; step <= Math.min(upTo, steps.length); step++) {
      const [action, state] = [step === 0 ? undefined : steps[step - 1], states[step]]
      if (state === undefined) break
      await play.take(action, state, step)
      await play.check(state)
    }
    return { events: step - 1, deaths: play.deaths }
  } catch (error) {
    const { problem, cause } = error instanceof Divergence ? error : { problem: toMessage(error), cause: error }
    return { events: step, deaths: play.deaths, failure: { step, problem, cause } }
  } finally {
    await play.close()
  }
}

class Divergence extends Error {
  readonly problem: string
  constructor(problem: string, options?: ErrorOptions) {
    super(problem, options)
    this.problem = problem
  }
}

interface Play {
  readonly deaths: number
  /** Lets the step happen; without one, starts the run. */
  take(step: ModelStep | undefined, to: ModelState, index: number): Promise<void>
  check(state: ModelState): Promise<void>
  close(): Promise<void>
}

let plays = 0

async function createPlay(room: PathRoom): Promise<Play> {
  const { actors, coverage, crash } = room
  const id = `model-${++plays}` // actors are told by the run that they belong to
  const clock = testClock()
  const startedAt = clock.now()
  const image: StoreImage = await createImage()
  const live = (fate?: EdgeDeath): Promise<ModelLife> =>
    openLife(image.open(), { machine: actors.machine, clock, inspect: coverage.hear }, fate)
  let life = await live()
  let deaths = 0
  /** The actor to which the outcome was given that is being given: after a death the next may have its id. */
  let settled: string | undefined

  const goOn = async (fate?: EdgeDeath): Promise<void> => {
    life.die()
    deaths++
    actors.forget(id)
    life = await live(fate)
    await life.rest()
  }
  const act = async (step: ModelStep | undefined, to: ModelState, index: number, isAgain: boolean): Promise<void> => {
    if (!isAgain) settled = undefined
    const { runtime } = life
    if (step === undefined) return acknowledged(life, runtime.start(actors.machine, { id, input: room.input as never }))
    if (step.type === 'send') return acknowledged(life, runtime.get(id).send(step.event, { id: `event-${index}` }))
    if (step.type === 'wait') return passTime(clock, startedAt + to.now, life)
    const key = actors.settle(id, step.actor, step.event, settled)
    if (key === undefined && !isAgain) throw new Divergence(`No actor \`${step.actor}\` is under way.`)
    settled ??= key
    await life.rest()
  }
  return {
    get deaths() {
      return deaths
    },
    async take(step, to, index) {
      const fates: readonly EdgeDeath[] = crash ? ['before', 'after'] : []
      for (const [attempt, when] of fates.entries()) {
        life.dieAtWrite(when)
        await act(step, to, index, attempt > 0)
        await goOn(step?.type === 'wait' ? fates[attempt + 1] : undefined) // what is overdue comes as soon as it is open
      }
      await act(step, to, index, crash)
    },
    async check({ snapshot: model }) {
      const run = life.runtime.get(id)
      const snapshot = await run.snapshot()
      const view = (one: AnyMachineSnapshot): unknown => toView(one, room.context)
      const [actual, expected] = [view(snapshot), view(model)]
      if (!isDeepStrictEqual(actual, expected)) throw new Divergence(`${describeDifference(actual, expected)}.`)
      for (const key of matchingChecks(room.states, snapshot)) {
        try {
          await room.states[key]?.(snapshot, run)
        } catch (cause) {
          throw new Divergence(`The check of \`${key}\` failed: ${toMessage(cause)}`, { cause })
        }
      }
    },
    async close() {
      if (!life.isDead) await life.close()
      actors.forget(id)
    },
  }
}

/** Waits until the run has taken what was asked of it, or its process is gone. */
async function acknowledged(life: ModelLife, asked: Promise<unknown>): Promise<void> {
  let outcome: { readonly error?: unknown } | undefined
  asked.then(
    () => {
      outcome = {}
    },
    (error: unknown) => {
      outcome = { error }
    },
  )
  await life.rest()
  if (life.isDead) return
  if (outcome === undefined) throw new Divergence('It is never acknowledged.')
  if ('error' in outcome) throw new Divergence(toMessage(outcome.error), { cause: outcome.error })
}

async function passTime(clock: TestClock, until: number, life: ModelLife): Promise<void> {
  await clock.advance(Math.max(0, until - clock.now()))
  await life.rest()
}

/** The checks for a state: those whose state it is in, and without any `*`. */
function matchingChecks(checks: PathRoom['states'], snapshot: AnyMachineSnapshot): readonly string[] {
  const matching = Object.keys(checks).filter((key) =>
    key.startsWith('#') ? snapshot._nodes.some(({ id }) => id === key.slice(1)) : key !== '*' && snapshot.matches(key),
  )
  return matching.length === 0 && '*' in checks ? ['*'] : matching
}

function toView(snapshot: AnyMachineSnapshot, withContext: boolean): unknown {
  const { value, context, status, output, error } = snapshot as AnyMachineSnapshot & Pick<Snapshot<unknown>, 'output' | 'error'>
  return {
    value,
    status,
    output: toComparable(output),
    error: toComparable(error),
    ...(withContext ? { context: toComparable(context) } : {}),
  }
}

/** Actors by their id and errors by what they say: the rest of them is not kept. What is undefined in an object is as if it were not there. */
function toComparable(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return { name: value.name, message: value.message }
  if ('sessionId' in value && 'getSnapshot' in value) return { actor: 'id' in value ? value.id : undefined }
  if (Array.isArray(value)) return value.map(toComparable)
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [toComparable(key), toComparable(item)]))
  if (value instanceof Set) return new Set([...value].map(toComparable))
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => (item === undefined ? [] : [[key, toComparable(item)]])),
  )
}
