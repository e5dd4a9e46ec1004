import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { StatelyInspectionEvent } from '@statelyai/inspect'
import { createInspectorServer } from '@statelyai/inspect/server'

/** Hears what an inspector sends, as a browser would. */
export interface InspectorScreen extends AsyncDisposable {
  /** For `createWebSocketInspector`. */
  readonly url: string
  readonly messages: readonly StatelyInspectionEvent[]
  /** Resolves when such a message has come. */
  until(isIt: (message: StatelyInspectionEvent) => boolean): Promise<void>
}

/** Joins the inspector's server at `url`, which passes on to each client what the others send; without a `url` it starts one. */
export async function openScreen(url?: string): Promise<InspectorScreen> {
  const port = url === undefined ? await findPort() : undefined
  const server = port === undefined ? undefined : createInspectorServer({ port, autoOpen: false })
  const at = url ?? `ws://localhost:${port}`
  let socket = await connect(at)
  while (socket === undefined && server !== undefined) socket = await connect(at) // it does not say when it listens
  if (socket === undefined) throw new Error(`Nobody listens at ${at}. Start the inspector's server there first.`)
  const browser = socket
  const inbox = createInbox()
  browser.addEventListener('message', ({ data }) => inbox.add(String(data)))
  return {
    url: at,
    ...inbox,
    async [Symbol.asyncDispose]() {
      const closed = once(browser, 'close')
      browser.close()
      await closed
      server?.stop()
    },
  }
}

/** Messages as they come, and who waits for one. */
export function createInbox() {
  const messages: StatelyInspectionEvent[] = []
  const waiting = new Set<() => void>()
  return {
    messages,
    add(text: string): void {
      messages.push(JSON.parse(text))
      for (const check of [...waiting]) check()
    },
    until: (isIt: (message: StatelyInspectionEvent) => boolean): Promise<void> =>
      new Promise((resolve, reject) => {
        const end = (settle: () => void): void => {
          clearTimeout(timer)
          waiting.delete(check)
          settle()
        }
        const check = (): void => {
          if (messages.some(isIt)) end(resolve)
        }
        const timer = setTimeout(() => end(() => reject(new Error('What the inspector sent did not arrive.'))), 10_000)
        waiting.add(check)
        check()
      }),
  }
}

async function findPort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on TCP
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function connect(url: string): Promise<WebSocket | undefined> {
  const socket = new WebSocket(url)
  return new Promise((resolve) => {
    socket.addEventListener('open', () => resolve(socket), { once: true })
    socket.addEventListener('error', () => resolve(undefined), { once: true })
  })
}
