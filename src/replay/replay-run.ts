import type { z } from 'zod'
import type { Agent } from '../runtime/agent.ts'
import type { Flow } from '../runtime/flow.ts'
import { readMachineHead } from '../runtime/machine-head.ts'
import { createMachineRegistry, type MachineEntry } from '../runtime/machine-registry.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { RunRecording, TurnRecording } from './recording.ts'
import { type ReplayResult, replayConversation } from './replay-conversation.ts'
import { replayFlow } from './replay-flow.ts'
import { replayMachine } from './replay-machine.ts'

/** How a run is replayed: with today's code of what it is a run of. */
export interface ReplayOptions {
  /** The agents as they are built today; that of the conversation is found by its name. Its model and its tools are not asked; it needs no key. */
  readonly agents?: readonly Agent<unknown>[] | undefined
  /**
   * By its name, a function that defines a flow in the runtime that it is given, with the agents that its turns are of, and returns it. What its steps, sleeps, waits and questions came to
   * is taken from the recording; the function of a step is not called.
   */
  readonly flows?: Readonly<Record<string, (runtime: Runtime) => Flow<never, unknown>>> | undefined
  /**
   * The machines as for `openRuntime`; that of the run is found by its id and version. Its steps are not executed, its promises, callbacks and observables not started; its actions are.
   */
  readonly machines?: readonly MachineEntry[] | undefined
  /** Of a conversation whose turns were each given their own `output`: the schema of a turn. Default: that of the agent's profile. */
  readonly output?: ((turn: TurnRecording) => z.ZodType | undefined) | undefined
  /**
   * What happens at something that the recording has no answer for. `fail` (default): the replay ends with `REPLAY_DIVERGED`, and nothing is asked outside. `live`: the
   * agent's own model is asked, and calls that were never recorded are executed. A call that was recorded (the tool, with the same arguments) never is.
   */
  readonly onMiss?: 'fail' | 'live' | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Replays a run against today's code: the prompts, what people said and answered, and every answer of a model and of a tool come from the recording. It is played in memory, in a time that
 * stands still; the recording and its store are not touched.
 *
 * Every request is compared with the one that was recorded: the prompt, the system prompt, the model, the settings, the tools, the form of the answer, and the conversation before
 * it. With `onMiss: 'fail'`, the first that differs ends the replay. What a turn or the run as a whole came to is compared at the end, see {@link ReplayResult}. A run that has not come to
 * its end is replayed as far as it came.
 *
 * Errors: `REPLAY_DIVERGED` (`details`: `run`, `turn`, `place`, `kind`, `changed`), `REPLAY_UNSUPPORTED` (the run of a machine of which is not recorded what it took), a `TypeError` when the agent, flow or
 * machine is not among the options, the reason of `signal`.
 *
 * @example
 * ```ts
 * const recording = await readRecording(store, 'helper/main')
 * const { identical, divergences } = await replayRun(recording, { agents: [buildAgent(profile)] })
 * ```
 */
export async function replayRun(recording: RunRecording, options: ReplayOptions): Promise<ReplayResult> {
  const { agents = [], flows = {}, machines = [], onMiss = 'fail', output, signal } = options
  if (onMiss !== 'fail' && onMiss !== 'live')
    throw new TypeError(`Expected \`onMiss\` to be 'fail' or 'live', got \`${String(onMiss)}\` (${typeof onMiss})`)
  const { id, kind, name } = recording
  const toMissing = (option: string, known: readonly string[]): TypeError =>
    new TypeError(
      `Expected \`${option}\` to have the ${kind} \`${name}\`, whose run \`${id}\` is, got ${known.map((one) => `\`${one}\``).join(', ') || 'none'}`,
    )
  if (kind === 'agent') {
    const agent = agents.find(({ profile }) => profile.name === name)
    if (agent !== undefined) return replayConversation(recording, { agent, onMiss, output, signal })
    const names = agents.map(({ profile }) => profile.name)
    throw toMissing('agents', names)
  }
  if (kind === 'flow') {
    const flow = Object.hasOwn(flows, name) ? flows[name] : undefined
    if (flow !== undefined) return replayFlow(recording, { flow, onMiss, signal })
    throw toMissing('flows', Object.keys(flows))
  }
  const known = createMachineRegistry(machines).resolve(name, readMachineHead(recording.head).version)
  if (known.kind !== 'unknown') return replayMachine(recording, { machine: known.entry.machine, onMiss, signal })
  throw toMissing(
    'machines',
    machines.map((entry) => ('machine' in entry ? entry.machine : entry).id),
  )
}
