import { once } from 'node:events'
import { serveDashboard } from '../dashboard/server.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { openUrl } from './open-url.ts'

export interface DashboardCommand extends StoreOptions {
  /** Default: one that is free. */
  readonly port?: number | undefined
  /** Opens it in the browser. */
  readonly open?: boolean | undefined
}

/** `perdure dashboard`: serves the page until Ctrl-C or SIGTERM. Its address is the one line on `out`. */
export const runDashboard = async (command: DashboardCommand, terminal: Terminal): Promise<ExitCode> =>
  runCommand('dashboard', command, terminal, async (store) => {
    const { port, json = false, open = false } = command
    const { out, err, signal } = terminal
    const dashboard = await serveDashboard(store, { port })
    if (!json && (await store.info()).owner.pid === process.pid)
      err('No other process has the store open: this one holds the store until it ends, and your app cannot open it meanwhile.\n')
    out(json ? toJsonLine({ url: dashboard.url }) : `${dashboard.url}\n`)
    if (!json) err('It can do to the store what you can: keep the address to yourself. Ctrl-C ends it.\n')
    if (open) openUrl(dashboard.url)
    if (!signal.aborted) await once(signal, 'abort')
    await dashboard.close()
    return 0
  })
