import { isSuspension } from '../actors/suspension.ts'
import { isPerdureError, PerdureError } from '../errors.ts'
import type { Limits } from '../machines/limits.ts'
import { loadHead } from '../persistence/run-log.ts'
import type { Agent } from './agent.ts'
import { NO_STANDING } from './attempt.ts'
import { toChildId } from './child-id.ts'
import { type Conversation, openConversation } from './conversation.ts'
import { toTurnFingerprint } from './durable-agent.ts'
import { compareFingerprints } from './fingerprint.ts'
import type { Services } from './services.ts'
import { NO_SPEND, type Spend, toChildSpent } from './spend.ts'
import { toAborted } from './turn.ts'
import type { RecordedTurn } from './turn-record.ts'

/** What an agent is asked by a call that it works for. */
interface ChildRequest {
  readonly agent: Agent<unknown>
  readonly prompt: string
  /** The run that the call belongs to, and the key of its step there. */
  readonly runId: string
  readonly step: string
  /** What the run leaves it of its limits. */
  readonly remaining: Limits | undefined
  readonly signal: AbortSignal
}

/** What it came to. */
export interface ChildTurn {
  readonly outcome: { readonly output: string } | { readonly error: unknown }
  /** What it has cost in all. */
  readonly spend: Spend
  /** How much of that in this process, for this call: the rest had settled before. */
  readonly paid: Spend
}

/**
 * The agents that work for calls of runs. Each has a conversation of its own, a run below that of its parent: taken up where it was after a crash, and
 * answered from the store once it has come to its end (P2).
 */
export interface ChildAgents {
  /**
   * Resolves when its answer, or its failure, is on disk. When `signal` aborts: a suspension leaves it as a crash would, a cancellation ends it, and what had settled is
   * recorded. Errors: `ABORTED` (`details.spent`: what it had cost), `RUN_ID_INVALID`, those of the store.
   */
  ask(request: ChildRequest): Promise<ChildTurn>
  /** How many agents a run is below one that no agent works for: 0 for that. */
  depthOf(runId: string): Promise<number>
  /** Resolves when none is in memory, or none of those below a run. Never rejects. */
  settled(runId?: string): Promise<void>
}

export function createChildAgents(toServices: () => Services): ChildAgents {
  /** Those in memory, by run: whoever asks again waits until an earlier one has let go. */
  const open = new Map<string, Promise<unknown>>()

  const ask = async (id: string, request: ChildRequest): Promise<ChildTurn> => {
    const services = toServices()
    const { agent, signal, runId } = request
    const { name } = agent.profile
    const what = `Agent \`${name}\` of run \`${runId}\``
    const isCancelled = (await loadHead(services.store, id))?.status === 'cancelled'
    const { suspending, cancelling, release } = split(signal)
    const conversation = await openConversation(services, id, name, 'agent', runId).catch((error: unknown) => {
      release()
      throw error
    })
    try {
      return await execute(services, conversation, request, {
        ending: AbortSignal.any([suspending, services.closing]),
        cancelling,
        isCancelled,
      })
    } catch (error) {
      if (!cancelling.aborted) throw error
      await conversation.stop(toAborted(what, cancelling)) // what was cancelled says what it had come to
      const turn = await conversation.turn(1)
      throw new PerdureError('ABORTED', `${what} was cancelled. What had settled is kept.`, {
        cause: error,
        details: { run: id, ...(turn === undefined ? {} : { spent: toChildSpent(turn.spend) }) },
      })
    } finally {
      await conversation.stop()
      release()
    }
  }

  return {
    async ask(request) {
      const { runId, step, agent, signal } = request
      const id = toChildId(runId, agent.profile.name, step)
      for (let last = open.get(id); last !== undefined; last = open.get(id)) await last
      if (signal.aborted) throw toAborted(`Agent \`${agent.profile.name}\` of run \`${runId}\``, signal)
      const asked = ask(id, request)
      const over = asked.then(
        () => open.delete(id),
        () => open.delete(id),
      )
      open.set(id, over)
      return asked
    },
    async depthOf(runId) {
      const { store } = toServices()
      let depth = 0
      for (let id: string | undefined = runId; id !== undefined; depth++) id = await findParent(store, id)
      return depth - 1
    },
    async settled(runId) {
      const below = (): Promise<unknown>[] =>
        [...open].flatMap(([id, over]) => (runId === undefined || id.startsWith(`${runId}/`) ? [over] : []))
      for (let left = below(); left.length > 0; left = below()) await Promise.all(left)
    },
  }
}

async function execute(
  { emit }: Services,
  conversation: Conversation,
  { agent, prompt, remaining }: ChildRequest,
  {
    ending,
    cancelling,
    isCancelled,
  }: { readonly ending: AbortSignal; readonly cancelling: AbortSignal; readonly isCancelled: boolean },
): Promise<ChildTurn> {
  const { name } = agent.profile
  const fingerprint = toTurnFingerprint(agent, prompt)
  const recorded = await conversation.turn(1)
  // A deploy does not make it another agent; another prompt is one of a call that was made in its place.
  const changed = recorded === undefined ? [] : compareFingerprints(recorded.fingerprint, fingerprint)
  const isOther = changed.includes('prompt')
  if (recorded !== undefined && !isOther && isCancelled) {
    const error = new PerdureError(
      'RUN_CANCELLED',
      `The run \`${conversation.id}\` was cancelled while no process executed it.`,
      {
        details: { run: conversation.id },
      },
    )
    return { outcome: { error }, spend: recorded.spend, paid: NO_SPEND }
  }
  if (recorded !== undefined && !isOther && isOver(recorded)) {
    const { status, spend } = recorded
    const reused = { type: 'checkpoint.reused', runId: conversation.id, checkpoint: name, kind: 'turn', reused: spend } as const
    emit(status === 'error' ? { ...reused, error: recorded.error } : reused)
    return { outcome: status === 'error' ? { error: recorded.error } : { output: recorded.output }, spend, paid: NO_SPEND }
  }
  let paid = NO_SPEND
  const isLimited = remaining !== undefined && Object.values(remaining).some((limit) => limit !== undefined)
  try {
    const { output, spend } = await conversation.execute({
      agent,
      prompt,
      reason: recorded === undefined ? 'new' : isOther ? 'changed' : recorded.status === 'error' ? 'retried' : 'resumed',
      strategy: 'calls',
      turn: 1,
      checkpoint: name,
      fingerprint,
      standing: NO_STANDING,
      changed: isOther ? changed : [],
      // It is the run that decides whether its limits are raised.
      allowance: isLimited ? { runLimits: remaining, wallTimeMs: undefined, onLimit: 'fail' } : undefined,
      signal: cancelling,
      ending,
      onCost: ({ spent }) => {
        paid = spent
      },
    })
    return { outcome: { output }, spend, paid }
  } catch (error) {
    if (ending.aborted || cancelling.aborted || isOfStore(error)) throw error
    return { outcome: { error }, spend: (await conversation.turn(1))?.spend ?? NO_SPEND, paid }
  }
}

/** Whether it has said what it came to. One that was cancelled goes on when it is asked again. */
const isOver = (turn: RecordedTurn): turn is Exclude<RecordedTurn, { readonly status: 'intended' }> =>
  turn.status === 'ok' || (turn.status === 'error' && !isPerdureError(turn.error, 'ABORTED'))

/** A suspension and a cancellation, each as a signal of its own. */
function split(signal: AbortSignal): {
  readonly suspending: AbortSignal
  readonly cancelling: AbortSignal
  readonly release: () => void
} {
  const [suspend, cancel] = [new AbortController(), new AbortController()]
  const onAbort = (): void => (isSuspension(signal) ? suspend : cancel).abort(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  return {
    suspending: suspend.signal,
    cancelling: cancel.signal,
    release: () => signal.removeEventListener('abort', onAbort),
  }
}

/** The run of the call that an agent works for; `undefined` for any other run. */
async function findParent(store: Services['store'], runId: string): Promise<string | undefined> {
  const data = (await loadHead(store, runId))?.data
  if (typeof data !== 'object' || data === null || !('owner' in data) || data.owner !== 'agent') return undefined
  return 'parent' in data && typeof data.parent === 'string' ? data.parent : undefined
}

/** What is not the child's failure: it is taken up when the run goes on. */
const isOfStore = (error: unknown): boolean => isPerdureError(error) && error.code.startsWith('STORE_')
