import { type Sleep, sleep } from '../pause.ts'
import { invalid } from './api-error.ts'
import { type BackgroundAnswer, startBackground } from './background.ts'
import { type Delivery, deliverBody, deliverFault, relayFrames, sendText } from './delivery.ts'
import type { Ledger, ServerRequest } from './ledger.ts'
import type { Asked } from './request.ts'
import type { AnswerFacts } from './wire-answer.ts'

/** The answers that a server makes in the background, and keeps as long as it runs. */
export interface StoredAnswers {
  has(responseId: string): boolean
  /** Makes an answer, and gives whoever asked what its fault lets through. The answer goes on without its client. */
  begin(facts: AnswerFacts, received: ServerRequest, delivery: Delivery): Promise<void>
  /** Serves one that it has. */
  serve(asked: Extract<Asked, { readonly responseId: string }>, delivery: Delivery): Promise<void>
  /** Ends all of them. */
  close(): Promise<void>
}

/** An empty store. */
export function createStoredAnswers(
  ledger: Ledger,
  options: { readonly delayMs?: number; readonly chunkDelayMs?: number; readonly sleep?: Sleep },
): StoredAnswers {
  const pace = { delayMs: options.delayMs ?? 0, chunkDelayMs: options.chunkDelayMs ?? 0, sleep: options.sleep ?? sleep }
  const stored = new Map<string, { readonly received: ServerRequest; readonly answer: BackgroundAnswer }>()
  return {
    has: (responseId) => stored.has(responseId),
    async begin(facts, received, delivery) {
      const { fault } = facts.played
      if (await deliverFault(fault, delivery)) return
      // The same conversation may be asked twice: the number tells the answers apart.
      const responseId = `resp_${facts.key.slice(0, 44)}${received.number.toString(16).padStart(4, '0')}`
      const answer = startBackground({ ...facts, responseId }, pace)
      stored.set(responseId, { received, answer })
      ledger.begin(received, answer)
      void answer.done.then(() => ledger.end(received))
      const cut = fault === 'stream-error' ? undefined : fault
      if (answer.isStreamed) await relayFrames(answer, 0, cut, delivery)
      else await deliverBody(answer.toBody(), cut, delivery)
      const isWhole = fault === undefined || fault === 'length' || fault === 'refusal'
      const isEnded = answer.status === 'completed' || answer.status === 'incomplete'
      if (isWhole && isEnded && answer.isStreamed && delivery.response.writableFinished) ledger.answer(received)
    },
    async serve(asked, delivery) {
      const { responseId } = asked
      const known = stored.get(responseId)
      if (known === undefined) throw new RangeError(`Expected the id of a response that is stored, got \`${responseId}\``)
      const { answer, received } = known
      const { status } = answer
      if (asked.type === 'cancel') {
        ledger.fetch(received, { responseId, status, kind: 'cancel', startingAfter: undefined })
        answer.cancel()
        await answer.done
        return sendText(delivery.response, 200, JSON.stringify(answer.toBody()))
      }
      const { isStream, startingAfter } = asked
      if (isStream && !answer.isStreamed) {
        throw invalid('This response cannot be streamed because it was not created with stream=true.')
      }
      ledger.fetch(received, { responseId, status, kind: isStream ? 'stream' : 'look', startingAfter })
      if (isStream) await relayFrames(answer, startingAfter === undefined ? 0 : startingAfter + 1, undefined, delivery)
      else await sendText(delivery.response, 200, JSON.stringify(answer.toBody()))
    },
    async close() {
      const answers = [...stored.values()].map(({ answer }) => answer)
      for (const answer of answers) answer.cancel()
      await Promise.all(answers.map(({ done }) => done))
    },
  }
}
