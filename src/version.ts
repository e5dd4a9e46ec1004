import { readFileSync } from 'node:fs'

let version: string | undefined

/** The version of this package. Read, not imported: the built file stands in the same place below the package. */
export function readVersion(): string {
  if (version !== undefined) return version
  const own = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { readonly version: string } // our own
  version = own.version
  return version
}
