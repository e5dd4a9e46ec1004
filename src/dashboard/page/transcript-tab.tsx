import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import type { TranscriptMessage } from '../../management/management.ts'
import type { StreamChunk } from '../../runtime/stream.ts'
import { ApiError, list } from './api.ts'
import { toRunHash } from './route.ts'
import { type OpenRun, reload } from './run-store.ts'
import { Text, toVisible } from './text.tsx'
import { Arguments, Value } from './value.tsx'

export function TranscriptTab({ run: { id, transcript = [], details } }: { readonly run: OpenRun }) {
  const live = useStream(id)
  const isOwn = new Set(transcript.map(({ runId }) => runId)).size <= 1
  return (
    <div class="transcript">
      {transcript.length === 0 && live.length === 0 && <p class="quiet empty">Nothing was said yet.</p>}
      {transcript.map((item, index) => (
        <div key={index}>
          {(index === 0 || transcript[index - 1]?.turn !== item.turn || transcript[index - 1]?.runId !== item.runId) && (
            <h3 class="transcript-turn">
              {isOwn && item.runId === id ? '' : <a href={toRunHash(item.runId)}>{toVisible(item.runId)} </a>}
              {item.turn > 0 ? `Turn ${item.turn}` : ''}
            </h3>
          )}
          <Said item={item} />
        </div>
      ))}
      {details?.status === 'running' && live.map((call) => <Streaming key={`${call.runId} ${call.key}`} call={call} />)}
    </div>
  )
}

function Said({ item: { message } }: { readonly item: TranscriptMessage }) {
  if (message.role === 'user')
    return (
      <article class="said" data-role="user" aria-label="Prompt">
        <span class="said-by">Prompt</span>
        <Text text={message.content} />
      </article>
    )
  if (message.role === 'tool')
    return (
      <article class="said" data-role="tool" data-error={message.isError} aria-label={`Result of ${message.name}`}>
        <span class="said-by">
          <span class="mono">{toVisible(message.name)}</span> {message.isError ? 'failed' : 'returned'}
        </span>
        <Text text={message.content} mono />
      </article>
    )
  return (
    <article class="said" data-role="model" aria-label="Model">
      <span class="said-by">Model</span>
      {message.content !== '' && <Text text={message.content} />}
      {message.toolCalls.map((call) => (
        <ToolCall key={call.id} name={call.name} text={call.arguments} />
      ))}
    </article>
  )
}

const ToolCall = ({ name, text }: { readonly name: string; readonly text: string }) => (
  <div class="tool-call">
    <span class="said-by">
      calls <span class="mono">{toVisible(name)}</span>
    </span>
    <Arguments text={text} />
  </div>
)

/** A call in flight: what it has told so far. */
interface LiveCall {
  readonly runId: string
  readonly key: string
  readonly text: string
  readonly calls: Readonly<Record<string, { readonly name: string; readonly text: string }>>
  readonly progress: { readonly name: string; readonly value: unknown } | undefined
}

function Streaming({ call: { text, calls, progress } }: { readonly call: LiveCall }) {
  const end = useRef<HTMLElement>(null)
  if (progress !== undefined)
    return (
      <article class="said" data-role="tool" data-live>
        <span class="said-by">
          <span class="mono">{toVisible(progress.name)}</span> is at
        </span>
        <Value value={progress.value} open={2} />
      </article>
    )
  return (
    <article class="said" data-role="model" data-live ref={end} aria-label="Model, writing" aria-busy="true">
      <span class="said-by">Model, writing</span>
      <span class="text">{toVisible(text)}</span>
      {Object.entries(calls).map(([id, each]) => (
        <div class="tool-call" key={id}>
          <span class="said-by">
            calls <span class="mono">{toVisible(each.name)}</span>
          </span>
          <span class="text mono">{toVisible(each.text)}</span>
        </div>
      ))}
    </article>
  )
}

const AGAIN_MS = 1_000
const DRAWN_MS = 60

/** What the calls in flight have told: followed for as long as the run is shown. */
function useStream(id: string): readonly LiveCall[] {
  const calls = useSignal<readonly LiveCall[]>([])
  useEffect(() => {
    const ending = new AbortController()
    const known = new Map<string, LiveCall>()
    let drawing = 0
    const draw = (): void => {
      drawing ||= window.setTimeout(() => {
        drawing = 0
        calls.value = [...known.values()].filter(
          ({ text, calls: asked, progress }) => text !== '' || progress !== undefined || Object.keys(asked).length > 0,
        )
      }, DRAWN_MS)
    }
    const follow = async (): Promise<void> => {
      let offset: string | undefined
      while (!ending.signal.aborted) {
        try {
          for await (const chunk of list('stream', [id, offset === undefined ? {} : { offset }], { signal: ending.signal })) {
            offset = chunk.offset
            take(known, chunk)
            if (chunk.type === 'settled') void reload()
            draw()
          }
          return
        } catch (error) {
          if (error instanceof ApiError && error.code === 'RUN_NOT_FOUND') return
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
        }
      }
    }
    void follow()
    return () => {
      ending.abort()
      window.clearTimeout(drawing)
    }
  }, [id])
  return calls.value
}

function take(known: Map<string, LiveCall>, chunk: StreamChunk): void {
  const { runId, key } = chunk
  const name = `${runId} ${key}`
  const call = known.get(name) ?? { runId, key, text: '', calls: {}, progress: undefined }
  switch (chunk.type) {
    case 'text':
      known.set(name, { ...call, text: call.text + chunk.delta })
      break
    case 'arguments': {
      const before = call.calls[chunk.callId]?.text ?? ''
      known.set(name, { ...call, calls: { ...call.calls, [chunk.callId]: { name: chunk.name, text: before + chunk.delta } } })
      break
    }
    case 'progress':
      known.set(name, { ...call, progress: { name: chunk.name, value: chunk.value } })
      break
    default:
      known.delete(name)
  }
}
