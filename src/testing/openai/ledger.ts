import { appendFileSync, readFileSync } from 'node:fs'
import type { ModelRequest } from '../../actors/model.ts'
import type { ApiName } from './wire-api.ts'
import type { WireObject } from './wire-value.ts'

/** A request that the server understood. */
export interface ServerRequest {
  /** Counts from 1, in the order of arrival. The script's function gets the same number. */
  readonly number: number
  readonly api: ApiName
  /** Names the conversation: `toConversationKey(request)`. Seen twice means asked, and paid, twice. */
  readonly key: string
  readonly request: ModelRequest
  /** The request as it came over the wire. */
  readonly body: WireObject
  /** The whole answer, without a fault, has been handed to the operating system. */
  readonly answered: boolean
}

/** A request that the server refused: a mistake of whoever asked. */
export interface ServerRejection {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly message: string
}

/** A line of the ledger file. A process that dies in between leaves a request without its answer. */
export interface LedgerLine {
  readonly type: 'request.received' | 'answer.sent'
  readonly number: number
  readonly api: ApiName
  readonly key: string
  /** How many messages the conversation has. */
  readonly messages: number
}

/** What the outside saw. */
export interface Ledger {
  readonly requests: readonly ServerRequest[]
  readonly rejections: readonly ServerRejection[]
  readonly receive: (request: Omit<ServerRequest, 'number' | 'answered'>) => ServerRequest
  readonly answer: (request: ServerRequest) => void
  readonly reject: (rejection: ServerRejection) => void
}

/** An empty ledger. Lines are appended to the file, if there is one, before an answer begins and after it is sent. */
export function toLedger(file: string | undefined): Ledger {
  const requests: (ServerRequest & { answered: boolean })[] = []
  const rejections: ServerRejection[] = []
  const write = (type: LedgerLine['type'], { number, api, key, request }: ServerRequest): void => {
    if (file === undefined) return
    const line: LedgerLine = { type, number, api, key, messages: request.messages.length }
    appendFileSync(file, `${JSON.stringify(line)}\n`)
  }
  return {
    requests,
    rejections,
    receive: (received) => {
      const request = { ...received, number: requests.length + 1, answered: false }
      requests.push(request)
      write('request.received', request)
      return request
    },
    answer: ({ number }) => {
      const request = requests[number - 1]
      if (request === undefined) throw new RangeError(`Expected \`number\` to be that of a request received, got \`${number}\``)
      request.answered = true
      write('answer.sent', request)
    },
    reject: (rejection) => void rejections.push(rejection),
  }
}

/** Reads the `ledgerFile` of a server, also while it runs in another process. A file that is not there yet is empty. */
export function readLedger(file: string): readonly LedgerLine[] {
  const lines = readText(file).split('\n')
  lines.pop() // what follows the last line break is nothing, or a line that is being written
  // Written by `toLedger`, of this version.
  return lines.map((line) => JSON.parse(line) as LedgerLine)
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}
