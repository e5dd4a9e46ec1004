import { isDeepStrictEqual } from 'node:util'
import type { Flow, FlowContext, FlowFunction } from '../runtime/flow.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { compareConversations, toErrorText } from './compare.ts'
import { type Divergence, toPlaceText } from './divergence.ts'
import { findUnasked, isSettled, seedFlow } from './flow-seed.ts'
import { type RunRecording, readRecording } from './recording.ts'
import { type ReplayResult, toNone } from './replay-conversation.ts'
import { toReplayedAgent } from './replayed-agent.ts'
import { type OpenStage, openStage } from './stage.ts'
import { untilEnded } from './until-ended.ts'

export interface FlowReplay {
  /** Defines the flow in the runtime that it is given. */
  readonly flow: (runtime: Runtime) => Flow<never, unknown>
  readonly onMiss: 'fail' | 'live'
  readonly signal?: AbortSignal | undefined
}

/** Executes the function of a flow with what its checkpoints came to then; its turns are replayed. */
export async function replayFlow(recording: RunRecording, { flow, onMiss, signal }: FlowReplay): Promise<ReplayResult> {
  const { id, name, within, createdAt } = recording
  const conversations = new Map(within.filter(({ kind }) => kind === 'agent').map((run) => [run.id, run]))
  const stage = await openStage({ startedAt: createdAt, runs: conversations, onMiss })
  try {
    const { store, answers, ending } = stage
    await seedFlow(store, recording)
    const defined = flow(toReplayRuntime(stage, recording, onMiss))
    if (defined.name !== name)
      throw new TypeError(
        `Expected \`flows.${name}\` to define the flow \`${name}\`, whose run \`${id}\` is, got \`${defined.name}\``,
      )
    const signals = signal === undefined ? ending : AbortSignal.any([ending, signal])
    const input = recording.input as never // it was given to this flow
    const outcome = await defined.run(input, { id, signal: signals }).then(
      (output) => ({ output }),
      (error: unknown) => ({ error }),
    )
    signal?.throwIfAborted()
    if (stage.failure !== undefined) throw stage.failure
    const replayed = await readRecording(store, id).catch(toNone)
    const results = ending.aborted ? [] : compareOutcomes(recording, outcome)
    const unused = replayed === undefined ? [] : toUnused(recording, replayed)
    const turns = [...conversations.values()]
      .filter(({ head }) => (head.data as { readonly owner?: unknown }).owner === 'flow') // what an agent did for a call is the call's
      .flatMap((run) =>
        compareConversations(
          run,
          replayed?.within.find((other) => other.id === run.id),
        ),
      )
    const divergences = [...answers.divergences, ...turns, ...unused, ...results]
    const output = 'output' in outcome ? outcome.output : undefined
    return { identical: divergences.length === 0, divergences, output, recordedOutput: recording.output, replayed }
  } finally {
    await stage.close()
  }
}

/** The runtime of a replay, as the code of the flow sees it. */
function toReplayRuntime(stage: OpenStage, recording: RunRecording, onMiss: 'fail' | 'live'): Runtime {
  const { runtime, answers, act } = stage
  const { id, name } = recording
  runtime.subscribe((event) => {
    if (event.type === 'checkpoint.started' && event.kind === 'step' && event.runId === id)
      act(judgeCheckpoint(stage, recording, event.checkpoint))
  })
  return {
    ...runtime,
    durable: (agent, options) => runtime.durable(toReplayedAgent(agent, answers), options),
    flow: <TInput, TOutput>(defined: string, fn: FlowFunction<TInput, TOutput>) =>
      runtime.flow<TInput, TOutput>(defined, (input, flow) =>
        fn(input, defined === name ? toGuarded(flow, recording, onMiss) : flow),
      ),
  }
}

/** The flow executes a checkpoint that is not in the store: there the recording ends, or it is another flow than it was. */
async function judgeCheckpoint(
  { store, answers, end }: OpenStage,
  { id, steps, status }: RunRecording,
  name: string,
): Promise<void> {
  const { steps: now } = await readRecording(store, id)
  for (const { key, kind } of now.filter((step) => step.name === name && step.status === 'intended')) {
    const known = steps.find((step) => step.key === key)
    if (known === undefined ? status === 'running' : !isSettled(known)) return end()
    const divergence = { runId: id, turn: undefined, place: key, kind: 'missing', changed: [] } as const
    const what = known === undefined ? 'is not in the recording' : 'is another one than was recorded'
    if (kind === 'step') answers.miss(divergence, what)
    else answers.stop(divergence, what) // it would wait for ever
  }
}

/** What a step would do is not done, unless the replay may do what was never recorded. */
const toGuarded = (flow: FlowContext, { steps }: RunRecording, onMiss: 'fail' | 'live'): FlowContext => ({
  ...flow,
  step: (name, fn, options) =>
    flow.step(
      name,
      typeof fn !== 'function'
        ? fn // it is refused there
        : (context) => {
            const key = context.key.slice(flow.runId.length + 1)
            return onMiss === 'fail' || steps.some((step) => step.key === key) ? untilEnded(context.signal) : fn(context)
          },
      options,
    ),
})

type Outcome = { readonly output: unknown } | { readonly error: unknown }

function compareOutcomes(recording: RunRecording, outcome: Outcome): readonly Divergence[] {
  const { id, status, output, head } = recording
  const recorded = status === 'completed' ? { output } : { error: toErrorText((head.data as { readonly error?: unknown }).error) } // of a flow that failed
  const replayed = 'error' in outcome ? { error: toErrorText(outcome.error) } : outcome
  if (isDeepStrictEqual(recorded, replayed)) return []
  const at = { runId: id, turn: undefined, place: undefined }
  return [{ ...at, kind: 'result', changed: [], recorded, replayed, text: `${toPlaceText(at)} comes to something else` }]
}

const toUnused = (recording: RunRecording, replayed: RunRecording): readonly Divergence[] =>
  findUnasked(recording, replayed).map(({ key: place, value: recorded }) => {
    const at = { runId: recording.id, turn: undefined, place }
    return { ...at, kind: 'unused', changed: [], recorded, text: `${toPlaceText(at)} is in the recording and was not asked for` }
  })
