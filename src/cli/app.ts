import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { toMessage } from '../errors.ts'
import type { ConnectOptions } from '../management/client.ts'
import type { ReplayOptions } from '../replay/replay-run.ts'
import type { MachineEntry } from '../runtime/machine-registry.ts'

/** The `machines` that the module at `app` exports. Each is checked by whoever takes them. */
export async function loadMachines(app: string): Promise<readonly MachineEntry[]> {
  const { machines } = await load(app)
  assertMachines(app, machines)
  return machines
}

/** What a store is opened with that nobody has open: the `machines` of the module at `app`, and its `redact` if it exports one. */
export async function loadApp(app: string): Promise<Pick<ConnectOptions, 'machines' | 'redact'>> {
  const { redact } = await load(app)
  return { machines: await loadMachines(app), redact: redact as ConnectOptions['redact'] } // checked by whoever takes it
}

function assertMachines(app: string, machines: unknown): asserts machines is readonly MachineEntry[] {
  if (Array.isArray(machines)) return
  throw new TypeError(`Expected ${app} to export \`machines\`, an array as for \`openRuntime\`, got ${typeof machines}`)
}

/** The `agents`, `flows` and `machines` that the module at `app` exports. */
export async function loadReplayed(app: string): Promise<Pick<ReplayOptions, 'agents' | 'flows' | 'machines'>> {
  const { agents = [], flows = {}, machines = [] } = await load(app)
  if (!Array.isArray(agents))
    throw new TypeError(`Expected ${app} to export \`agents\`, an array of what \`buildAgent\` returned, got ${typeof agents}`)
  if (typeof flows !== 'object' || flows === null)
    throw new TypeError(
      `Expected ${app} to export \`flows\`, an object of functions that define a flow in a runtime, got ${typeof flows}`,
    )
  assertMachines(app, machines)
  return { agents, machines, flows: { ...flows } as NonNullable<ReplayOptions['flows']> } // each is checked when it is used
}

async function load(app: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(resolve(app)).href)
  } catch (error) {
    throw new Error(`The module ${app} cannot be loaded: ${toMessage(error)}`, { cause: error })
  }
}
