import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import type { ModelRequest } from '../../actors/model.ts'
import { ApiError, invalid } from './api-error.ts'
import { createdAt } from './wire-answer.ts'
import { apis, type WireApi } from './wire-api.ts'
import { isObject, type WireObject } from './wire-value.ts'

/** Who may ask for what. */
export interface Gate {
  /** Any other bearer token is a 401. Default: everybody may ask. */
  readonly apiKey?: string
  /** Any other model is not found. Default: every name is a model. */
  readonly models?: readonly string[]
}

/** What was asked for. */
export type Asked =
  | { readonly type: 'models'; readonly body: WireObject }
  | {
      readonly type: 'fetch'
      readonly responseId: string
      readonly isStream: boolean
      readonly startingAfter: number | undefined
    }
  | { readonly type: 'cancel'; readonly responseId: string }
  | { readonly type: 'answer'; readonly api: WireApi; readonly body: WireObject; readonly request: ModelRequest }

const hint = "(HINT: This likely means you aren't using your HTTP library correctly.)"

/** Reads a request. Throws an {@link ApiError} for everything that OpenAI refuses. */
export async function parseRequest(message: IncomingMessage, gate: Gate): Promise<Asked> {
  const { method = '', url = '/' } = message
  const path = url.replace(/[?#].*$/s, '')
  const isModels = path === '/v1/models' || path.startsWith('/v1/models/')
  const api = apis[path]
  checkKey(message.headers.authorization, gate.apiKey)
  const stored = /^\/v1\/responses\/([^/]+)(\/cancel)?$/.exec(path)
  if (stored !== null) return parseStored(method, url, stored[1] ?? '', stored[2] !== undefined)
  if (api === undefined && !isModels) throw new ApiError(404, `Invalid URL (${method} ${path})`)
  checkMethod(method, isModels ? 'GET' : 'POST', path)
  if (api === undefined) return { type: 'models', body: toModels(path, gate.models ?? ['scripted']) }
  const body = parseBody(await text(message))
  if (typeof body.model === 'string' && gate.models?.includes(body.model) === false) throw unknownModel(body.model, api)
  return { type: 'answer', api, body, request: api.parse(body) }
}

/** What is asked about an answer that is there already. */
function parseStored(method: string, url: string, id: string, isCancel: boolean): Asked {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  checkMethod(method, isCancel ? 'POST' : 'GET', pathname)
  const responseId = decodeURIComponent(id)
  if (isCancel) return { type: 'cancel', responseId }
  const after = searchParams.get('starting_after')
  if (after !== null && !/^\d+$/.test(after))
    throw invalid("Invalid type for 'starting_after': expected an integer.", 'starting_after', 'invalid_type')
  const isStream = searchParams.get('stream') === 'true'
  return { type: 'fetch', responseId, isStream, startingAfter: after === null ? undefined : Number(after) }
}

function checkMethod(method: string, known: string, path: string): void {
  if (method === known) return
  const text = `Not allowed to ${method} on ${path}. (HINT: Perhaps you meant to use a different HTTP method?)`
  throw new ApiError(405, text, { code: 'method_not_supported' })
}

function checkKey(authorization: string | undefined, apiKey: string | undefined): void {
  if (apiKey === undefined) return
  const given = /^Bearer\s+(\S+)$/i.exec(authorization ?? '')?.[1]
  if (given === apiKey) return
  if (given === undefined) {
    throw new ApiError(
      401,
      "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.",
    )
  }
  const shown = given.length > 8 ? `${given.slice(0, 4)}***${given.slice(-4)}` : '***'
  const message = `Incorrect API key provided: ${shown}. You can find your API key at https://platform.openai.com/account/api-keys.`
  throw new ApiError(401, message, { code: 'invalid_api_key' })
}

function parseBody(text: string): WireObject {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw invalid(`We could not parse the JSON body of your request. ${hint}`)
  }
  if (!isObject(body)) throw invalid(`Invalid body: expected an object. ${hint}`)
  return body
}

function unknownModel(model: string, api: WireApi): ApiError {
  return api.unknownModelStatus === 404
    ? new ApiError(404, `The model \`${model}\` does not exist or you do not have access to it.`, { code: 'model_not_found' })
    : new ApiError(400, `The requested model '${model}' does not exist.`, { param: 'model', code: 'model_not_found' })
}

function toModels(path: string, names: readonly string[]): WireObject {
  const models = names.map((id) => ({ id, object: 'model', created: createdAt, owned_by: 'perdure' }))
  if (path === '/v1/models') return { object: 'list', data: models }
  const name = decodeURIComponent(path.slice('/v1/models/'.length))
  const model = models.find(({ id }) => id === name)
  if (model !== undefined) return model
  throw new ApiError(404, `The model '${name}' does not exist`, { param: 'model', code: 'model_not_found' })
}
