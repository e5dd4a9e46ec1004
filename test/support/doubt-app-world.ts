import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { DoubtAppOrder, DoubtAppReport } from './doubt-app-policies.ts'

/** An attempt at an effect, as the outside world saw it. */
export interface SeenEffect {
  readonly key: string
  readonly attempt: number
}

/** The outside world: a server that counts. */
export interface World extends AsyncDisposable {
  readonly url: string
  /** What was seen at a path, in its order. */
  seen(path: string): readonly SeenEffect[]
}

export async function createWorld(): Promise<World> {
  const effects = new Map<string, SeenEffect[]>()
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const seen = effects.get(request.url ?? '') ?? []
    effects.set(request.url ?? '', seen)
    if (request.method === 'POST') seen.push(JSON.parse(body))
    response.end(JSON.stringify(seen))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // it listens on a port
  return {
    url: `http://127.0.0.1:${port}`,
    seen: (path) => effects.get(path) ?? [],
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const app = fileURLToPath(new URL('./doubt-app.ts', import.meta.url))

/** Lives the program once, with orders that it does one after the other. `undefined`: it killed itself. `cacheDirectory`: where compiled code is kept. */
export function liveInDoubt(orders: readonly DoubtAppOrder[], cacheDirectory: string): Promise<DoubtAppReport[] | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, JSON.stringify(orders)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: cacheDirectory },
    })
    let said = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      said += text
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve(undefined)
      else if (code === 0) resolve(JSON.parse(said))
      else reject(new Error(`The program ended with ${code ?? signal}: ${errors}`))
    })
  })
}
