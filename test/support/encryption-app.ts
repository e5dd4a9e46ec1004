/**
 * A program for tests: a flow of six steps in the encrypted store in argv[2]. argv[3] is JSON: the `keys` (in base64, the current one first), the file `effects` that gets a line for each step that is
 * executed, and `until`: with which step it stops and says `ready`; it goes no further. Without, it says so when the flow has ended.
 */
import { appendFileSync, writeSync } from 'node:fs'
import { openRuntime } from 'perdure'

const [, , directory = '', given = ''] = process.argv
const { keys, effects, until }: { keys: readonly string[]; effects: string; until?: number } = JSON.parse(given)
const [key = new Uint8Array(), ...previousKeys] = keys.map((text) => Buffer.from(text, 'base64'))

const runtime = await openRuntime({ directory, log: 'silent', encryption: { key, previousKeys } })
const flow = runtime.flow('parts', async (_, { step }) => {
  const parts: string[] = []
  for (let n = 1; n <= 6; n++) {
    parts.push(
      await step(`part-${n}`, () => {
        appendFileSync(effects, `${n}\n`)
        return `CANARY ${n}`
      }),
    )
    if (n === until) {
      writeSync(1, 'ready\n')
      await new Promise(() => {}) // until it is killed
    }
  }
  return parts
})
process.stdin.resume()
await flow.run(1, { id: 'parts/1' })
writeSync(1, 'ready\n')
process.stdin.once('end', () => void runtime.close())
