import { isSuspension } from '../actors/suspension.ts'
import type { ToolContext } from '../actors/tool.ts'
import { isPerdureError } from '../errors.ts'
import type { Agent } from './agent.ts'
import type { ChildTurn } from './agent-tool.ts'
import { NO_STANDING } from './attempt.ts'
import type { CallScope } from './call-scope.ts'
import { openConversation } from './conversation.ts'
import { toTurnFingerprint } from './durable-agent.ts'
import { toHash } from './fingerprint.ts'
import { NO_SPEND } from './spend.ts'

/**
 * Runs the turn of an agent that works for a call of a durable run, takes it up where it was, or returns it from the store. Its conversation belongs to that run. Errors:
 * those of the store, and of an abort: then nothing of its end is recorded.
 */
export async function askChild(
  agent: Agent<unknown>,
  { services, runId, step }: CallScope,
  prompt: string,
  { signal, remaining }: ToolContext,
): Promise<ChildTurn> {
  const { name } = agent.profile
  const conversation = await openConversation(services, `${runId}/${name}.${toHash(step)}`, name, 'agent', runId)
  try {
    const recorded = await conversation.turn(1)
    if (recorded?.status === 'ok') return { outcome: { output: recorded.output }, spend: recorded.spend }
    const reason = recorded === undefined ? 'new' : recorded.status === 'error' ? 'retried' : 'resumed'
    const { output, spend } = await conversation.execute({
      agent,
      prompt,
      reason,
      strategy: 'calls',
      turn: 1,
      checkpoint: name,
      fingerprint: toTurnFingerprint(agent, prompt),
      standing: NO_STANDING,
      changed: [],
      allowance: remaining === undefined ? undefined : { runLimits: remaining, wallTimeMs: undefined },
      ending: AbortSignal.any([signal, services.closing]),
    })
    return { outcome: { output }, spend }
  } catch (error) {
    if (signal.aborted || isSuspension(services.closing) || isOfStore(error)) throw error
    const recorded = await conversation.turn(1).catch(() => undefined)
    return { outcome: { error }, spend: recorded?.spend ?? NO_SPEND }
  } finally {
    await conversation.stop()
  }
}

/** What is not the child's failure: it is taken up when the run goes on. */
const isOfStore = (error: unknown): boolean => isPerdureError(error) && error.code.startsWith('STORE_')
