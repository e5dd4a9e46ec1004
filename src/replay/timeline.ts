import type { Message } from '../machines/conversation.ts'
import type { RecordedCall } from './recorded-call.ts'
import type { RunRecording, TurnRecording } from './recording.ts'

/** What followed a request in the conversation: its answer, the results of its calls, and what the user said meanwhile. */
export interface AfterRequest {
  readonly next: Message | undefined
  /** What the user said before the next request. */
  readonly said: readonly string[]
  /** Ids of the calls of its answer that the user interrupted, or that had no result when the turn ended. */
  readonly broken: ReadonlySet<string>
}

/** How the machine tells the model of a call that was broken off: see `readHistory`. */
const INTERRUPTED = 'This call was interrupted. Its outcome is not known.'
/** How it sends an answer back that does not have its form: see `sendBack`. */
const SENT_BACK = 'Your answer does not have the form that was asked for:'

/** What followed the request `call` in its turn. */
export function readAfter({ messages, turns }: RunRecording, { turn, record }: TurnRecording, call: RecordedCall): AfterRequest {
  const from = call.messages ?? 0
  const end = turns.find((later) => later.turn > turn)?.record.start ?? messages.length
  const after = messages.slice(from, end)
  const isTurn = from > record.start
  const [next, ...rest] = isTurn ? after : []
  const upTo = rest.findIndex(({ role }) => role === 'assistant')
  const between = next?.role === 'user' ? after : upTo === -1 ? rest : rest.slice(0, upTo)
  const said: string[] = []
  const broken = new Set<string>()
  for (const message of between) {
    if (message.role === 'assistant') break
    if (message.role === 'user' && !message.content.startsWith(SENT_BACK)) said.push(message.content)
    if (message.role === 'tool' && message.isError && message.content === INTERRUPTED) broken.add(message.callId)
  }
  return { next, said, broken }
}
