/** What happens in the store, as it happens: the browser comes back by itself, with the id of the last message that it had. */
import { signal } from '@preact/signals'
import type { RuntimeEvent } from '../../runtime/events.ts'

/** `live`; `away`: the process that had the store open ended; `lost`: the dashboard does not answer. */
export const connection = signal<'live' | 'away' | 'lost'>('lost')

/** When processes ended and came while this page looked on. */
export const lives = signal<readonly { readonly at: number; readonly isThere: boolean }[]>([])

/** Undefined: anything may have changed. */
type Listener = (event: RuntimeEvent | undefined) => void
const listeners = new Set<Listener>()

export function onEvent(listener: Listener): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

const tellAll = (event?: RuntimeEvent): void => {
  for (const listener of listeners) listener(event)
}

const SILENCE_MS = 40_000

export function openFeed(): void {
  let source: EventSource | undefined
  let heardAt = Date.now()
  const open = (): void => {
    source?.close()
    source = new EventSource('/events')
    source.onmessage = ({ data }: MessageEvent<string>) => {
      heardAt = Date.now()
      const message = JSON.parse(data) as // written by our server
        | { type: 'hello' | 'reload' }
        | { type: 'event'; event: RuntimeEvent }
        | { type: 'owner'; isThere: boolean }
      if (connection.value === 'lost') connection.value = 'live'
      if (message.type === 'event') tellAll(message.event)
      if (message.type === 'reload') tellAll()
      if (message.type !== 'owner') return
      connection.value = message.isThere ? 'live' : 'away'
      lives.value = [...lives.value, { at: Date.now(), isThere: message.isThere }]
    }
    source.onerror = () => {
      connection.value = 'lost'
      if (source?.readyState === EventSource.CLOSED) setTimeout(open, 2_000)
    }
  }
  open()
  setInterval(() => {
    if (Date.now() - heardAt < SILENCE_MS) return
    connection.value = 'lost'
    heardAt = Date.now()
    open()
    tellAll()
  }, 5_000)
}
