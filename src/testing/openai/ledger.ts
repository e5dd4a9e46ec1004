import { appendFileSync, readFileSync } from 'node:fs'
import type { ModelRequest } from '../../actors/model.ts'
import type { BackgroundStatus } from './wire-answer.ts'
import type { ApiName } from './wire-api.ts'
import type { WireObject } from './wire-value.ts'

/** A request that the server understood. */
export interface ServerRequest {
  /** Counts from 1, in the order of arrival. The script's function gets the same number. */
  readonly number: number
  readonly api: ApiName
  /** Names the conversation: `toConversationKey(request)`. Seen twice means asked, and paid, twice; what is fetched is not in here. */
  readonly key: string
  readonly request: ModelRequest
  /** The request as it came over the wire. */
  readonly body: WireObject
  /** The whole answer, without a fault, has been handed to the operating system. */
  readonly answered: boolean
  /** The answer, where it is made in the background. */
  readonly background: { readonly id: string; readonly status: BackgroundStatus } | undefined
}

/** A request that the server refused: a mistake of whoever asked. */
export interface ServerRejection {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly message: string
}

/** Somebody came back for an answer that is made in the background. Nothing is paid for it. */
export interface ServerFetch {
  readonly responseId: string
  /** The status of the answer at that time; of a cancellation: before it. */
  readonly status: BackgroundStatus
  /** `stream`: the events after `startingAfter`, as they come; `cancel`: the answer is ended. */
  readonly kind: 'look' | 'stream' | 'cancel'
  readonly startingAfter: number | undefined
}

/** A line of the ledger file. A process that dies in between leaves a request without its answer. */
export interface LedgerLine {
  /** Of answers in the background: `response.ended` when one is complete, has failed or is cancelled; the others when somebody comes back for it. */
  readonly type: 'request.received' | 'answer.sent' | 'response.ended' | 'response.fetched' | 'response.cancelled'
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
  readonly fetches: readonly ServerFetch[]
  readonly receive: (request: Omit<ServerRequest, 'number' | 'answered' | 'background'>) => ServerRequest
  readonly begin: (request: ServerRequest, background: ServerRequest['background']) => void
  readonly end: (request: ServerRequest) => void
  readonly fetch: (request: ServerRequest, fetch: ServerFetch) => void
  readonly answer: (request: ServerRequest) => void
  readonly reject: (rejection: ServerRejection) => void
}

/** An empty ledger. Lines are appended to the file, if there is one, before an answer begins and after it is sent. */
export function toLedger(file: string | undefined): Ledger {
  const requests: (ServerRequest & { answered: boolean; background: ServerRequest['background'] })[] = []
  const fetches: ServerFetch[] = []
  const rejections: ServerRejection[] = []
  const write = (type: LedgerLine['type'], { number, api, key, request }: ServerRequest): void => {
    if (file === undefined) return
    const line: LedgerLine = { type, number, api, key, messages: request.messages.length }
    appendFileSync(file, `${JSON.stringify(line)}\n`)
  }
  const find = ({ number }: ServerRequest) => {
    const request = requests[number - 1]
    if (request === undefined) throw new RangeError(`Expected \`number\` to be that of a request received, got \`${number}\``)
    return request
  }
  return {
    requests,
    rejections,
    fetches,
    begin: (received, background) => {
      find(received).background = background
    },
    end: (received) => write('response.ended', received),
    fetch: (received, fetch) => {
      fetches.push(fetch)
      write(fetch.kind === 'cancel' ? 'response.cancelled' : 'response.fetched', received)
    },
    receive: (received) => {
      const request = { ...received, number: requests.length + 1, answered: false, background: undefined }
      requests.push(request)
      write('request.received', request)
      return request
    },
    answer: (received) => {
      const request = find(received)
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
