/** The code of `managed-crew.ts` after a change: its agent has another system prompt. */
import { toHelper } from './managed-crew.ts'

export const agents = [toHelper('Help at once.')]
