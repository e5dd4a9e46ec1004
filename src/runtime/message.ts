import type { EventObject } from 'xstate'
import { z } from 'zod'
import { decodeShaped, encodeRecord } from '../persistence/codec.ts'
import { inboxKey } from '../persistence/keys.ts'
import type { Operation } from '../persistence/store.ts'

/** A message that one run sent to another: a record in the inbox of the one that gets it, until it took it. */
export interface Message {
  /** The run that sent it. */
  readonly from: string
  /** Epoch milliseconds. */
  readonly sentAt: number
  readonly event: EventObject
}

/** `number` is above those of all messages before. Errors: `VALUE_NOT_STORABLE`, `RUN_ID_INVALID`. */
export function toMessageOperation(to: string, number: string, message: Message): Operation {
  const key = inboxKey(to, number)
  return { type: 'put', key, value: encodeRecord(key, message) }
}

const MessageSchema = z.looseObject({ from: z.string(), sentAt: z.number(), event: z.looseObject({ type: z.string() }) })

/** Errors: `RUN_CORRUPT`. */
export const readMessage = (key: string, bytes: Uint8Array): Message => decodeShaped(MessageSchema, key, bytes) as Message // the schema names every field
