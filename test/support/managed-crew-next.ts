/** The code of `managed-crew.ts` after a change: its agent has another system prompt, and its door opens no more. */
import { toDoor, toHelper } from './managed-crew.ts'

export const machines = [toDoor(0)]
export const agents = [toHelper('Help at once.')]
