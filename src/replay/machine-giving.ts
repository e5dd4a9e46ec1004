import { isDeepStrictEqual } from 'node:util'
import type { StepOutcome } from '../actors/step.ts'
import type { StoredTimer } from '../runtime/durable-timers.ts'
import type { Divergence } from './divergence.ts'
import type { TakenRecording } from './machine-recording.ts'
import type { MachineStage } from './machine-stage.ts'
import type { ReplayedSteps } from './machine-steps.ts'
import type { RecordedCall } from './recorded-call.ts'

/** Tells of a divergence at a place of the run. */
export type Note = (
  place: string,
  kind: Divergence['kind'],
  what: string,
  more?: Pick<Partial<Divergence>, 'changed' | 'recorded' | 'replayed'>,
) => void

export interface GivingRoom {
  readonly stage: MachineStage
  readonly steps: ReplayedSteps
  readonly recorded: readonly RecordedCall[]
  readonly note: Note
}

/** Gives a machine what it took then. */
export function give(one: TakenRecording, room: GivingRoom): void {
  const { stage, note } = room
  const { place } = one
  if (one.name === 'start') stage.start()
  else if (one.name === 'timer') giveTimer(one, room)
  else if (one.name === 'step') giveOutcome(one, room)
  else if (one.name === 'event') {
    const { event, target = [] } = one
    const what = `(\`${event.type}\`) is for the actor \`${target.join('/')}\`, which is not there`
    if (!stage.send(target, event)) note(place, 'unused', what, { recorded: event })
  } else if (one.name === 'actor') {
    const { event, source, isParent } = one
    const what = `(\`${event.type}\`) is from the actor \`${source.join('/')}\`, which is not there`
    if (!stage.tell(source, isParent, event)) note(place, 'unused', what, { recorded: event })
  }
}

type Named<Name extends TakenRecording['name']> = Extract<TakenRecording, { readonly name: Name }>

function giveTimer(one: Named<'timer'>, { stage, note }: GivingRoom): void {
  const timer = findTimer(stage.timers(), one)
  const what = `(the delayed \`${one.type}\`)`
  if (timer === undefined) {
    note(one.place, 'unused', `${what} is not pending`)
    return
  }
  const change = { changed: ['delay'], recorded: one.dueAt, replayed: timer.dueAt } as const
  if (timer.dueAt !== one.dueAt) note(one.place, 'changed', `${what} has another delay`, change)
  stage.fire(timer)
}

function giveOutcome({ key, outcome }: Named<'step'>, { steps, recorded, note }: GivingRoom): void {
  const asked = steps.take(key)
  const call = recorded.find((other) => other.key === key)
  if (asked === undefined) note(key, 'unused', 'is in the recording and was not asked for')
  else asked.settle((outcome ?? { status: 'ok', value: call?.value }) as StepOutcome<never>) // what it came to then
}

/** The delayed event that came, or the one that stands in its place today. */
function findTimer(pending: readonly StoredTimer[], one: Named<'timer'>): StoredTimer | undefined {
  const own = pending.filter(({ source }) => isDeepStrictEqual(source, one.source))
  const same = own.filter(({ event }) => event.type === one.type)
  const state = toTimedState(one.type)
  const isInPlace = ({ event }: StoredTimer): boolean => state !== undefined && toTimedState(event.type) === state
  return same.find(({ dueAt }) => dueAt === one.dueAt) ?? same[0] ?? own.find(isInPlace)
}

/** The state of an `after`: its events are named by the delay and that. */
const toTimedState = (type: string): string | undefined => /^xstate\.after\.[^.]+\.(.+)$/s.exec(type)?.[1]
