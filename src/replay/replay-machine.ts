import { isDeepStrictEqual } from 'node:util'
import type { AnyActorRef, AnyStateMachine } from 'xstate'
import type { StepDescription } from '../actors/step.ts'
import { PerdureError } from '../errors.ts'
import { toPath } from '../runtime/durable-timers.ts'
import { toInputHash } from '../runtime/taken.ts'
import { type Divergence, toDiverged, toPlaceText } from './divergence.ts'
import { give, type Note } from './machine-giving.ts'
import { compareStates, createJudge, findUnused } from './machine-judge.ts'
import type { TakenRecording } from './machine-recording.ts'
import { type MachineStage, openMachineStage } from './machine-stage.ts'
import { createReplayedSteps } from './machine-steps.ts'
import type { RunRecording } from './recording.ts'
import type { ReplayResult } from './replay-conversation.ts'
import { untilEnded } from './until-ended.ts'

export interface MachineReplay {
  readonly machine: AnyStateMachine
  readonly onMiss: 'fail' | 'live'
  readonly signal?: AbortSignal | undefined
}

/** Gives a machine what it took then, in that order, and looks where that leads. */
export async function replayMachine(recording: RunRecording, { machine, onMiss, signal }: MachineReplay): Promise<ReplayResult> {
  const { id, input, steps: recorded, status } = recording
  const taken = readTaken(recording)
  const divergences: Divergence[] = []
  /** Steps that are executed. */
  const live: Promise<() => void>[] = []
  let failure: PerdureError | undefined
  /** What is being taken. */
  let current: TakenRecording | undefined
  /** It is the last of the recording. */
  let isLast = false
  /** What was taken in one stretch with it. */
  let joined: TakenRecording[] = []

  const note: Note = (place, kind, what, more) => {
    const at = { runId: id, turn: undefined, place }
    const divergence: Divergence = { ...at, kind, changed: [], ...more, text: `${toPlaceText(at)} ${what}` }
    divergences.push(divergence)
    if (onMiss === 'fail') failure ??= toDiverged(divergence)
  }
  const missing = ({ key: place, kind, name }: StepDescription, isQuestion: boolean): boolean => {
    if (status === 'running' && isLast) return false // the recording ends before it was begun
    note(place, 'missing', `(${kind} \`${name}\`) is not in the recording${isQuestion ? ', and waits for a person' : ''}`)
    if (isQuestion) failure ??= divergences.slice(-1).map(toDiverged)[0]
    return failure === undefined
  }
  const steps = createReplayedSteps(recorded, {
    onMissing: missing,
    onChanged: ({ key }, changed, then, now) =>
      note(key, 'changed', `is asked in another way (${changed.join(', ')})`, { changed, recorded: then, replayed: now }),
    onLive: (executed) => void live.push(executed),
  })
  const onSettling = (snapshot: unknown): void => {
    if (current?.name === 'step' && current.input !== undefined && current.input !== toInputHash(snapshot))
      note(current.key, 'changed', 'is asked in another way (input)', { changed: ['input'] })
  }
  const onActing = (actor: AnyActorRef): void => {
    const path = toPath(actor)
    for (;;) {
      const one = joined.find(({ name }) => name === 'actor')
      if (one?.name !== 'actor' || !isDeepStrictEqual(one.source, path)) return
      joined.splice(joined.indexOf(one), 1)
      stage.tell(actor, one.isParent, one.event)
    }
  }
  const stage = openMachineStage(machine, { id, input, steps, onSettling, onActing })
  const judge = createJudge(stage, note)

  try {
    for (const stretch of toStretches(taken)) {
      signal?.throwIfAborted()
      joined = [...stretch]
      const one = stretch[stretch.length - 1] as TakenRecording // none is empty
      isLast = one === taken.at(-1)
      for (current = joined.shift(); current !== undefined && failure === undefined; current = joined.shift()) {
        const given = current
        stage.give(one.at, () => give(given, { stage, steps, recorded, note }))
      }
      for (let executed = live.shift(); executed !== undefined && failure === undefined; executed = live.shift()) {
        const settle = await (signal === undefined ? executed : Promise.race([executed, untilEnded(signal)]))
        stage.give(one.at, settle)
      }
      if (failure === undefined) judge(one)
      if (failure !== undefined) throw failure
    }
    const replayed = toReplayed(recording, stage, steps.asked)
    divergences.push(...findUnused(recording, steps.asked), ...compareStates(recording, replayed))
    const isIdentical = divergences.length === 0
    return { identical: isIdentical, divergences, output: replayed.output, recordedOutput: recording.output, replayed }
  } finally {
    stage.stop()
  }
}

/** What was taken in one stretch is together. */
function* toStretches(taken: readonly TakenRecording[]): Iterable<readonly TakenRecording[]> {
  let stretch: TakenRecording[] = []
  for (const one of taken) {
    stretch.push(one)
    if (one.isJoined === true) continue
    yield stretch
    stretch = []
  }
}

function readTaken({ id, kind, name, machine }: RunRecording): readonly TakenRecording[] {
  const toUnsupported = (why: string): PerdureError =>
    new PerdureError('REPLAY_UNSUPPORTED', `The run \`${id}\` of the machine \`${name}\` cannot be replayed: ${why}`, {
      details: { run: id, kind },
    })
  if (machine?.taken === undefined)
    throw toUnsupported(
      'what it took from outside was not recorded: `recordInputs` of its machine was false, or an earlier version of perdure began it. Leave `recordInputs` at true and record a new run. `diffRuns` compares it with another.',
    )
  for (const one of machine.taken)
    if (one.name === 'lost')
      throw toUnsupported(`${toPlaceText({ runId: id, turn: undefined, place: one.place })} is not in the recording. ${one.why}`)
  return machine.taken
}

/** The replay, as it would have been recorded. */
function toReplayed(recording: RunRecording, stage: MachineStage, asked: ReadonlySet<string>): RunRecording {
  const state = stage.read()
  const before = recording.machine?.state?.status
  const ends: Readonly<Record<string, RunRecording['status']>> = { done: 'completed', error: 'failed' }
  const isSame = state.status === before
  return {
    ...recording,
    status: isSame ? recording.status : (ends[state.status] ?? 'running'),
    endedAt: isSame ? recording.endedAt : undefined,
    output: state.output,
    steps: recording.steps.filter(({ key, kind }) => asked.has(key) || kind === 'doubt'),
    machine: { taken: recording.machine?.taken, state },
  }
}
