/**
 * Where the owner of a store can be reached by other processes of the same user: a Unix socket in the store's folder (0600), on Windows a named pipe. Opening costs one system call
 * or two: what answers is loaded when somebody comes. It never keeps a process.
 */
import { createHash } from 'node:crypto'
import { chmod, lstat, mkdtemp, readlink, realpath, rename, rm, symlink } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { begunSuffix, socketFileName } from '../persistence/store-directory.ts'

/** What the systems take, less the byte that ends it: macOS 103, Linux 107. */
const MAX_PATH_BYTES = 103

export interface Endpoint {
  /** Nobody can connect any more; what is under way has been told that the store closes. The socket is gone. */
  close(): Promise<void>
}

/** What answers connections. */
export interface ConnectionHandler {
  take(socket: Socket): void
  /** Ends what is under way with `STORE_CLOSED`. Resolves when all connections are. */
  close(): Promise<void>
}

/** How the endpoint of the store at `realPath`, without symbolic links, is reached. */
export function toSocketPath(realPath: string): string {
  if (process.platform !== 'win32') return join(realPath, socketFileName)
  return `\\\\.\\pipe\\perdure-${createHash('sha256').update(realPath.toLowerCase()).digest('hex').slice(0, 32)}`
}

/** The address behind the link that stands in for a socket whose path is too long. */
export async function toAddress(path: string): Promise<string> {
  return process.platform === 'win32' ? path : readlink(path).catch(() => path)
}

/**
 * Listens for the owner of the store in `directory`. What an owner that died left there is replaced: only who holds the store's lock may call it. `load` makes what answers, when the
 * first one connects. A system that gives no socket (a file system that has none) is no reason not to open a store: then nobody can connect.
 */
export async function openEndpoint(directory: string, load: () => Promise<ConnectionHandler>): Promise<Endpoint> {
  let handler: Promise<ConnectionHandler> | undefined
  const server = createServer((socket) => {
    socket.unref()
    socket.on('error', () => {}) // it is closed then
    handler ??= load()
    handler.then(
      ({ take }) => take(socket),
      () => socket.destroy(),
    )
  })
  server.unref()
  const forget = await realpath(directory)
    .then((realPath) => listen(server, toSocketPath(realPath)))
    .catch(() => undefined)
  return {
    async close() {
      if (forget === undefined) return
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      await (await handler?.catch(() => undefined))?.close()
      await closed.promise
      await forget()
    },
  }
}

/** Returns what removes what was put on the disk, as long as it is not another's: one that lost its lock has a successor. */
async function listen(server: Server, path: string): Promise<() => Promise<void>> {
  if (process.platform === 'win32') {
    await bind(server, path)
    return async () => {}
  }
  await removeLink(path)
  // Put in its place when it is ready; and Node.js removes, when it closes, what has the name that it was given.
  const begun = `${path}${begunSuffix}`
  await rm(begun, { force: true })
  if (Buffer.byteLength(begun) <= MAX_PATH_BYTES) {
    await bind(server, begun)
    await chmod(begun, 0o600)
    const { ino } = await lstat(begun)
    await rename(begun, path)
    return async () => {
      if ((await lstat(path).catch(() => undefined))?.ino === ino) await rm(path, { force: true })
    }
  }
  const folder = await mkdtemp(join(tmpdir(), 'perdure-')) // 0700
  const address = join(folder, 's')
  try {
    await bind(server, address)
    await chmod(address, 0o600)
    await symlink(address, begun)
    await rename(begun, path)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
  return async () => {
    if ((await readlink(path).catch(() => undefined)) === address) await rm(path, { force: true })
    await rm(folder, { recursive: true, force: true })
  }
}

/** The folder that a link of an owner that died leads to. The link itself is replaced. */
async function removeLink(path: string): Promise<void> {
  const address = await readlink(path).catch(() => undefined)
  if (address !== undefined && dirname(dirname(address)) === tmpdir() && basename(dirname(address)).startsWith('perdure-'))
    await rm(dirname(address), { recursive: true, force: true })
}

function bind(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(path, () => {
    server.off('error', reject)
    server.on('error', () => {}) // of one connection that could not be taken
    resolve()
  })
  return promise
}
