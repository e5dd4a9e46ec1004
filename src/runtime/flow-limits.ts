import { type Limits, leastLimits } from '../machines/limits.ts'
import { headsWithin, toRunId } from '../persistence/keys.ts'
import { loadHead } from '../persistence/run-log.ts'
import { readOwnSpend } from './run-spend.ts'
import type { Services } from './services.ts'

/** What a turn may use, so that its flow stays within its own limits. */
export interface TurnAllowance {
  /** What all turns of its conversation may use. */
  readonly runLimits: Limits | undefined
  readonly wallTimeMs: number | undefined
  /** What happens at a limit, whatever the profile says. Default: what the profile says. */
  readonly onLimit?: 'fail' | undefined
}

/** The run of a flow, as far as its limits are concerned. */
export interface LimitedFlow {
  readonly id: string
  /** When it began, in epoch milliseconds. */
  readonly createdAt: number
  readonly limits: Limits | undefined
}

/**
 * What is left of a flow's limits for one of its conversations: what the others have used is on disk, in their heads, also of attempts that were lost (P12). Turns that
 * run at once do not see each other's calls before these are done.
 */
export async function toAllowance(
  { store, now }: Pick<Services, 'store' | 'now'>,
  { id, createdAt, limits }: LimitedFlow,
  conversation: string,
): Promise<TurnAllowance | undefined> {
  if (limits === undefined) return undefined
  const used = { steps: 0, tokens: 0, costUsd: 0 }
  for await (const [key] of store.entries(headsWithin(id))) {
    const run = toRunId(key)
    if (run === conversation || run.startsWith(`${conversation}/`)) continue // its own machine counts those
    const head = await loadHead(store, run)
    if (head?.kind !== 'agent') continue
    const spend = readOwnSpend(head)
    used.steps += spend.modelCalls
    used.tokens += spend.inputTokens + spend.outputTokens
    used.costUsd += spend.costUsd
  }
  const left = (limit: keyof typeof used): number | undefined => {
    const max = limits[limit]
    return max === undefined ? undefined : Math.max(0, max - used[limit])
  }
  const { wallTimeMs } = limits
  return {
    runLimits: { steps: left('steps'), tokens: left('tokens'), costUsd: left('costUsd') },
    wallTimeMs: wallTimeMs === undefined ? undefined : Math.max(1, createdAt + wallTimeMs - now()),
  }
}

/** The limits of a turn, within what its flow leaves it. */
export function withinAllowance<T extends { readonly limits?: Limits | undefined; readonly runLimits?: Limits | undefined }>(
  given: T,
  allowance: TurnAllowance | undefined,
): T {
  if (allowance === undefined) return given
  const { runLimits, wallTimeMs, onLimit } = allowance
  return {
    ...given,
    ...(onLimit === undefined ? {} : { onLimit }),
    limits: wallTimeMs === undefined ? given.limits : leastLimits(given.limits, { wallTimeMs }),
    runLimits: leastLimits(given.runLimits, runLimits),
  }
}
