import { once } from 'node:events'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { createInbox, type InspectorScreen } from '../../examples/support/inspector-screen.ts'

/** The part of `ws` that is used here; it comes with the inspector, without types. */
interface Ws {
  readonly WebSocketServer: new (options: {
    readonly host: string
    readonly port: number
  }) => NodeJS.EventEmitter & {
    readonly clients: ReadonlySet<{ terminate(): void }>
    address(): AddressInfo
    close(done: () => void): void
  }
}

/** A WebSocket server on loopback to which inspectors connect directly. */
export async function openReceiver(): Promise<InspectorScreen> {
  const { WebSocketServer }: Ws = createRequire(import.meta.resolve('@statelyai/inspect'))('ws')
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const inbox = createInbox()
  server.on('connection', (socket: NodeJS.EventEmitter) => {
    socket.on('message', (data: Buffer) => inbox.add(data.toString()))
  })
  return {
    url: `ws://127.0.0.1:${server.address().port}`,
    ...inbox,
    async [Symbol.asyncDispose]() {
      for (const client of server.clients) client.terminate()
      await new Promise<void>((resolve) => server.close(resolve))
    },
  }
}
