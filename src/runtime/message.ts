import type { EventObject } from 'xstate'
import { z } from 'zod'
import { decodeShaped, encodeStorable } from '../persistence/codec.ts'
import { inboxKey } from '../persistence/keys.ts'
import { isOursInMessage, type Redact, toRedactText } from '../persistence/redaction.ts'
import { toStorable } from '../persistence/storable.ts'
import type { Operation } from '../persistence/store.ts'

/** A message that one run sent to another: a record in the inbox of the one that gets it, until it took it. */
export interface Message {
  /** The run that sent it. */
  readonly from: string
  /** Epoch milliseconds. */
  readonly sentAt: number
  readonly event: EventObject
}

interface MessageRoom {
  readonly redact?: Redact | undefined
  /** A number above those of all messages before. */
  readonly nextMessage: () => string
}

/** Errors: `VALUE_NOT_STORABLE`, `REDACTION_FAILED`, `RUN_ID_INVALID`. */
export function toMessageOperation({ redact, nextMessage }: MessageRoom, to: string, message: Message): Operation {
  const key = inboxKey(to, nextMessage())
  const event = toStorable(message.event, ['event'], undefined, toRedactText(redact, to, isOursInMessage))
  return { type: 'put', key, value: encodeStorable(key, { ...message, event }) }
}

const MessageSchema = z.looseObject({ from: z.string(), sentAt: z.number(), event: z.looseObject({ type: z.string() }) })

/** Errors: `RUN_CORRUPT`. */
export const readMessage = (key: string, bytes: Uint8Array): Message => decodeShaped(MessageSchema, key, bytes) as Message // the schema names every field
