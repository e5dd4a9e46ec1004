import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { inspect } from 'node:util'
import type { Model, ModelCallContext, ModelRequest } from '../../src/actors/model.ts'
import { type OpenAIModelOptions, openaiModel } from '../../src/actors/openai/model.ts'
import { isPerdureError, type PerdureError, type PerdureErrorCode } from '../../src/errors.ts'
import type { ModelAnswer } from '../../src/machines/conversation.ts'
import { createWireServer, type WireAnswer, type WireServer } from './wire-server.ts'

/** The key of every test's model: it must never be seen again. */
export const keyCanary = 'sk-canary-4f1c/9b+7e=2d'

type Retry = Parameters<ModelCallContext['onRetry']>[0]

/** A model on a loopback server, and what happened around its calls. */
export interface ModelRig {
  readonly server: WireServer
  readonly model: Model
  readonly deltas: string[]
  readonly retries: Retry[]
  readonly sleeps: number[]
  /** The pieces of arguments, as `<call id> <name>: <piece>`. */
  readonly argumentDeltas: string[]
  readonly responseIds: string[]
  readonly abort: AbortController
  /** What a call of this rig is given. */
  readonly context: ModelCallContext
  ask(request?: Partial<ModelRequest>): ReturnType<Model>
  resume(responseId: string, request?: Partial<ModelRequest>): Promise<ModelAnswer | undefined>
}

/** Starts a server with these answers and a model against it that waits for nothing. */
export async function startRig(
  t: TestContext,
  answers: readonly WireAnswer[],
  options: OpenAIModelOptions = {},
): Promise<ModelRig> {
  const server = await createWireServer(...answers)
  t.after(() => server.close())
  return { server, ...createRig(server.baseUrl, options) }
}

/** A model against a server that is there, which waits for nothing. */
export function createRig(baseUrl: string, options: OpenAIModelOptions = {}): Omit<ModelRig, 'server'> {
  const deltas: string[] = []
  const retries: Retry[] = []
  const sleeps: number[] = []
  const argumentDeltas: string[] = []
  const responseIds: string[] = []
  const abort = new AbortController()
  const context = toContext({
    signal: abort.signal,
    onText: (delta) => deltas.push(delta),
    onArguments: ({ callId, name, delta }) => argumentDeltas.push(`${callId} ${name}: ${delta}`),
    onResponse: (responseId) => responseIds.push(responseId),
    onRetry: (retry) => {
      retries.push(retry)
      deltas.length = 0
      argumentDeltas.length = 0
    },
  })
  const model = openaiModel({
    apiKey: keyCanary,
    baseUrl,
    random: () => 1,
    sleep: async (delayMs) => void sleeps.push(delayMs),
    ...options,
  })
  return {
    model,
    deltas,
    retries,
    sleeps,
    abort,
    argumentDeltas,
    responseIds,
    context,
    ask: (request = {}) => model(toRequest(request), context),
    resume: (responseId, request = {}) => {
      assert.ok(model.resume, 'Expected a model that can resume')
      return model.resume(responseId, toRequest(request), context)
    },
  }
}

/** What a call is given, with what a test does not care about filled in. */
export function toContext(context: Partial<ModelCallContext> = {}): ModelCallContext {
  return {
    signal: new AbortController().signal,
    onText: () => {},
    onArguments: () => {},
    onResponse: () => {},
    onRetry: () => {},
    ...context,
  }
}

/** A request with what a test does not care about filled in. */
export function toRequest(request: Partial<ModelRequest> = {}): ModelRequest {
  return {
    model: 'gpt-4o-mini',
    systemPrompt: 'Be brief.',
    settings: {},
    tools: [],
    messages: [{ role: 'user', content: 'Hello' }],
    ...request,
  }
}

/** Waits for the named error; fails when the key is anywhere in it. */
export async function expectError(promise: Promise<unknown>, code: PerdureErrorCode): Promise<PerdureError> {
  const error = await promise.then(
    (value) => assert.fail(`Expected ${code}, got an answer: ${inspect(value, { depth: 4 })}`),
    (reason: unknown) => reason,
  )
  assert.ok(isPerdureError(error), `Expected ${code}, got ${inspect(error)}`)
  assert.equal(error.code, code, inspect(error))
  assertNoSecret(error)
  return error
}

/** Fails when the key canary can be found in the value by any way there is. */
export function assertNoSecret(value: unknown): void {
  const seen = new Set<unknown>()
  const look = (inner: unknown, path: string): void => {
    if (typeof inner === 'string') {
      for (const spelling of [keyCanary, encodeURIComponent(keyCanary), Buffer.from(keyCanary).toString('base64')]) {
        assert.ok(!inner.includes(spelling), `The API key is at ${path}`)
      }
    }
    if ((typeof inner !== 'object' && typeof inner !== 'function') || inner === null || seen.has(inner)) return
    seen.add(inner)
    for (const key of Reflect.ownKeys(inner)) {
      look(String(key), `${path}.<key>`)
      look(Reflect.getOwnPropertyDescriptor(inner, key)?.value, `${path}.${String(key)}`)
    }
    const prototype: unknown = Object.getPrototypeOf(inner)
    const isPlain = prototype === Object.prototype || prototype === Array.prototype || prototype === Error.prototype
    if (!isPlain && prototype !== null) look(prototype, `${path}.<prototype>`)
    if (inner instanceof Headers || inner instanceof Map) look([...inner], `${path}.<entries>`)
  }
  look(value, 'value')
  look(String(value), 'String()')
  look(inspect(value, { depth: 20, showHidden: true, getters: true }), 'inspect()')
  look(JSON.stringify(value) ?? '', 'JSON')
}
