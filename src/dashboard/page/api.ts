/** The methods of a DashboardApi, over HTTP. What JSON has no word for is an object of one field that begins with `$`. */
import type { DashboardApi } from '../api.ts'

export class ApiError extends Error {
  readonly code: string | undefined
  constructor(message: string, code?: string) {
    super(message)
    this.name = 'ApiError'
    this.code = code
  }
}

/** A text that was not sent as a whole. */
export interface CutText {
  readonly path: string
  readonly length: number
}

interface Line {
  readonly value?: unknown
  readonly cut?: readonly CutText[]
  readonly end?: true
  readonly error?: { readonly code?: string; readonly message: string }
}

interface CallOptions {
  /** Cut no text. */
  readonly whole?: boolean
  readonly signal?: AbortSignal
}

type ValueOf<M extends keyof DashboardApi> = Awaited<ReturnType<DashboardApi[M]>>
type ItemOf<M extends keyof DashboardApi> = ReturnType<DashboardApi[M]> extends AsyncIterable<infer Item> ? Item : never

/** What was answered, and which texts of it are cut. */
export interface Answer<T> {
  readonly value: T
  readonly cut: readonly CutText[]
}

async function* readLines(
  name: keyof DashboardApi,
  args: readonly unknown[],
  { whole, signal }: CallOptions,
): AsyncGenerator<Line> {
  const response = await fetch(`/api/${name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ args, whole }),
    ...(signal === undefined ? {} : { signal }),
  }).catch((error: unknown) => {
    if (signal?.aborted === true) throw error
    throw new ApiError('The dashboard does not answer. Is `perdure dashboard` still there?', 'DASHBOARD_GONE')
  })
  if (!response.ok || response.body === null) throw new ApiError((await response.text()).trim() || `HTTP ${response.status}`)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let parts: string[] = []
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      const pieces = value.split('\n')
      const last = pieces.pop() ?? ''
      for (const piece of pieces) {
        parts.push(piece)
        const line = JSON.parse(parts.join('')) as Line // written by our server
        parts = []
        if (line.error !== undefined) throw new ApiError(line.error.message, line.error.code)
        if (line.end === true) return
        yield line
      }
      if (last !== '') parts.push(last)
    }
  } finally {
    void reader.cancel().catch(() => {})
  }
  throw new ApiError('The answer was cut off.', 'DASHBOARD_GONE')
}

/** Asks for one value. */
export async function ask<M extends keyof DashboardApi>(
  name: M,
  args: Parameters<DashboardApi[M]>,
  options: CallOptions = {},
): Promise<Answer<ValueOf<M>>> {
  for await (const { value, cut = [] } of readLines(name, args, options)) return { value: value as ValueOf<M>, cut }
  return { value: undefined as ValueOf<M>, cut: [] }
}

/** Asks for items, one after the other. */
export async function* list<M extends keyof DashboardApi>(
  name: M,
  args: Parameters<DashboardApi[M]>,
  options: CallOptions = {},
): AsyncGenerator<ItemOf<M>> {
  for await (const { value } of readLines(name, args, options)) yield value as ItemOf<M>
}

export async function listAll<M extends keyof DashboardApi>(
  name: M,
  args: Parameters<DashboardApi[M]>,
  options: CallOptions = {},
): Promise<Answer<readonly ItemOf<M>[]>> {
  const items: ItemOf<M>[] = []
  const allCut: CutText[] = []
  for await (const { value, cut = [] } of readLines(name, args, options)) {
    for (const text of cut) allCut.push({ ...text, path: `/${items.length}${text.path}` })
    items.push(value as ItemOf<M>)
  }
  return { value: items, cut: allCut }
}
