import { toSafeText } from './safe-text.ts'
import { cutText } from './text-width.ts'

export const MAX_LABEL = 24

/** A run's id in the column of names: without most of the hash that ends it. */
export const toRunLabel = (id: string): string => cutText(toSafeText(id).replace(/(\/[\w-]{6})[\w-]{10}$/, '$1'), MAX_LABEL)

/** An agent that works for a call, with the one that it works for if that does too: `lead.2n25 › worker.x7Qa`. `undefined` for any other run. */
export function toChildLabel(id: string): string | undefined {
  const agents = id.split('/').map((part) => /^(.+\.[\w-]{4})[\w-]{12}$/.exec(part)?.[1])
  if (agents.at(-1) === undefined) return undefined
  const named = agents.filter((agent) => agent !== undefined)
  return named.slice(-2).map(toSafeText).join(' › ')
}
