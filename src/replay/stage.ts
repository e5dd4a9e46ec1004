import { PerdureError } from '../errors.ts'
import type { Store } from '../persistence/store.ts'
import { openRuntime } from '../runtime/open.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { openMemoryStore } from '../runtime/stores.ts'
import { type Answers, createAnswers } from './answers.ts'
import type { RunRecording } from './recording.ts'
import { createStillClock, type StillClock } from './still-clock.ts'

/** Where a recording is played: a runtime in memory whose time stands still, and the answers to all that it asks for. */
export interface OpenStage {
  readonly runtime: Runtime
  readonly store: Store
  readonly clock: StillClock
  readonly answers: Answers
  /** Aborts when the recording is at its end, or when the replay cannot go on. */
  readonly ending: AbortSignal
  /** Why it cannot go on. */
  readonly failure: PerdureError | undefined
  /** Ends the replay when nothing goes on any more: the recording is at its end. */
  end(): void
  /** Does something beside the replay, which ends when it fails. */
  act(task: Promise<unknown>): void
  close(): Promise<void>
}

export interface StageOptions {
  readonly startedAt: number
  /** The conversations, by the id that they have in the replay. */
  readonly runs: ReadonlyMap<string, RunRecording>
  readonly onMiss: 'fail' | 'live'
}

/** How many turns of the event loop in which nothing happens mean that nothing will. Nothing in memory waits for the outside. */
const QUIET_TURNS = 10

export async function openStage({ startedAt, runs, onMiss }: StageOptions): Promise<OpenStage> {
  const clock = createStillClock(startedAt)
  const store = await openMemoryStore()
  const ending = new AbortController()
  let failure: PerdureError | undefined
  let beats = 0

  const quiet = async (): Promise<void> => {
    for (let before = -1; before !== beats; ) {
      before = beats
      for (let turn = 0; turn < QUIET_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const fail = (error: PerdureError): void => {
    failure ??= error
    ending.abort(failure)
  }
  const acting = new Set<Promise<unknown>>()
  const act = (task: Promise<unknown>): void => {
    const done: Promise<unknown> = task.catch(fail).finally(() => acting.delete(done))
    acting.add(done)
  }
  // What runs beside it comes to its own end first.
  const end = (): void => act(quiet().then(() => ending.abort(toEnd())))
  const answers = createAnswers(
    runs,
    {
      quiet,
      // What a turn has begun with is on disk first: before that nobody can find it.
      say: (runId, event) => quiet().then(() => runtime.get(runId).send(event)),
      abort: (runId) => act(quiet().then(() => runtime.get(runId).cancel())),
      pass: (ms) => clock.pass(ms),
      end,
      fail,
    },
    onMiss,
  )
  const runtime = await openRuntime({
    store,
    clock,
    log: 'silent',
    durability: 'process',
    autoResume: false,
    onEvent(event) {
      beats++
      if (event.type !== 'question.asked' || !runs.has(event.runId)) return
      const { runId, key } = event
      act(
        answers.person(runId, key).then((said) => (said === undefined ? undefined : runtime.get(runId).answer(key, said.answer))),
      )
    },
  })
  return {
    runtime,
    store,
    clock,
    answers,
    ending: ending.signal,
    get failure() {
      return failure
    },
    end,
    act,
    async close() {
      await runtime.close()
      await Promise.all(acting)
    },
  }
}

const toEnd = (): PerdureError => new PerdureError('ABORTED', 'The recording ends here.')
