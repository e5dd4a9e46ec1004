import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { toMessage } from '../errors.ts'
import type { MachineEntry } from '../runtime/machine-registry.ts'

/** The `machines` that the module at `app` exports. Each is checked by whoever takes them. */
export async function loadMachines(app: string): Promise<readonly MachineEntry[]> {
  let exported: { readonly machines?: unknown }
  try {
    exported = await import(pathToFileURL(resolve(app)).href)
  } catch (error) {
    throw new Error(`The module ${app} cannot be loaded: ${toMessage(error)}`, { cause: error })
  }
  const { machines } = exported
  if (!Array.isArray(machines))
    throw new TypeError(`Expected ${app} to export \`machines\`, an array as for \`openRuntime\`, got ${typeof machines}`)
  return machines
}
