import type { ToolCall } from '../../machines/conversation.ts'
import { toArgumentsText, type WireToolCall } from './wire-shape.ts'

/** Puts the tool calls of a Chat Completions stream together from their pieces. */
export interface ToolCallPieces {
  /** Tells which call the piece belongs to, and what it adds to its arguments. */
  add(piece: WireToolCall): { readonly call: ToolCall; readonly delta: string }
  toCalls(): ToolCall[]
}

interface OpenCall {
  readonly index: number | undefined
  id: string
  name: string
  arguments: string
}

/**
 * Pieces belong together by `index`. Real servers depart from that in three ways, all of which are read as they are meant:
 * no index at all, every call at index 0 with its own id, and a new id in each piece of the same call.
 */
export function createToolCallPieces(): ToolCallPieces {
  const calls: OpenCall[] = []

  function open(piece: WireToolCall): OpenCall {
    const call: OpenCall = { index: piece.index ?? undefined, id: '', name: '', arguments: '' }
    calls.push(call)
    return call
  }

  return {
    add(piece) {
      const id = piece.id ?? ''
      const name = piece.function?.name ?? ''
      const current =
        piece.index === undefined || piece.index === null ? calls.at(-1) : calls.findLast((call) => call.index === piece.index)
      const call = current === undefined || startsAnother(current, id, name) ? open(piece) : current
      if (call.id === '') call.id = id
      if (call.name === '') call.name = name
      const delta = toArgumentsText(piece.function?.arguments)
      call.arguments += delta
      return { call, delta }
    },
    toCalls: () => calls.map(({ id, name, arguments: text }) => ({ id, name, arguments: text })),
  }
}

/** Another id and a name, once the call at hand has all its arguments: a call of its own, not an id that changed on the way. */
function startsAnother(current: OpenCall, id: string, name: string): boolean {
  return id !== '' && name !== '' && current.id !== '' && id !== current.id && isJson(current.arguments)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
