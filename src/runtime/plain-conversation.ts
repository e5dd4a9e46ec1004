import { createActor } from 'xstate'
import { createDirectHost } from '../actors/direct-host.ts'
import { provideOutput } from '../actors/output-check.ts'
import type { ParsedProfile } from '../actors/profile.ts'
import { isModelProgress } from '../actors/progress.ts'
import { provideSteps } from '../actors/step.ts'
import { type AgentMachine, readAnswer } from '../machines/agent.ts'
import { type Limits, leastLimits } from '../machines/limits.ts'
import { toFormat, toTurnLimits } from './agent-request.ts'
import { tell } from './listener.ts'
import { addSpend, NO_SPEND, type Spend, toLostSpend, toSpend } from './spend.ts'
import { type AnyTurnOptions, fromAgentError, type TurnResult, toAborted, toCheckpointName, watchTurns } from './turn.ts'

/** A conversation of an agent without a runtime. */
export interface PlainConversation {
  /** What the last turn has cost, also one that failed. */
  readonly spend: Spend
  run(prompt: string, options: AnyTurnOptions): Promise<TurnResult>
}

/** `remaining`: what all of its turns may use, within the limits of its profile. */
export function createPlainConversation(machine: AgentMachine, profile: ParsedProfile, remaining?: Limits): PlainConversation {
  let options: AnyTurnOptions = {}
  let spend: Spend = NO_SPEND
  let turn = Promise.withResolvers<void>()

  const host = createDirectHost({
    onProgress(progress) {
      if (!isModelProgress(progress)) return
      if (progress.type === 'text') tell(options.onText, progress.delta)
      else if (progress.type === 'retry') spend = addSpend(spend, toLostSpend(progress.error))
    },
    onSettled(step, outcome, startedAt) {
      spend = addSpend(spend, toSpend({ ...step, ...outcome, attempt: 1, startedAt, endedAt: Date.now() }))
    },
  })

  const limits = toTurnLimits(profile)
  const actor = createActor(machine, { input: { ...limits, runLimits: leastLimits(limits.runLimits, remaining) } })
  provideSteps(actor.system, host)
  const turns = watchTurns(actor, { settled: () => turn.resolve(), broken: (error) => turn.reject(error) })
  actor.start()

  return {
    get spend() {
      return spend
    },
    async run(prompt, turnOptions) {
      options = turnOptions
      spend = NO_SPEND
      turn = Promise.withResolvers<void>()
      const { signal } = options
      if (signal?.aborted) throw toAborted('The turn', signal)
      const onAbort = (): void => actor.send({ type: 'abort' })
      signal?.addEventListener('abort', onAbort, { once: true })
      turns.arm()
      provideOutput(actor.system, options.output)
      actor.send({ type: 'prompt', text: prompt, ...toFormat(profile, options.output) })
      await turn.promise.finally(() => signal?.removeEventListener('abort', onAbort))
      const { context } = actor.getSnapshot()
      if (context.error !== undefined) throw fromAgentError(context.error)
      const output = readAnswer(context)?.content ?? ''
      return { output, checkpoint: toCheckpointName(profile.name, context.turn), turn: context.turn, reused: false, spend }
    },
  }
}
