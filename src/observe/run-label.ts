import { toSafeText } from './safe-text.ts'
import { cutText } from './text-width.ts'

export const MAX_LABEL = 24

/** A run's id in the column of names: without most of the hash that ends it. */
export const toRunLabel = (id: string): string => cutText(toSafeText(id).replace(/(\/[\w-]{6})[\w-]{10}$/, '$1'), MAX_LABEL)
