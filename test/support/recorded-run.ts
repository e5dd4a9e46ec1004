import { type Model, openMemoryStore, openRuntime, type Runtime, type Tool, tool } from 'perdure'
import { z } from 'zod'
import { type RunRecording, readRecording } from '../../src/replay/recording.ts'

/** Executes `play` in a runtime in memory, and reads what was recorded of the run. */
export async function record(id: string, play: (runtime: Runtime) => Promise<unknown>): Promise<RunRecording> {
  const store = await openMemoryStore()
  const runtime = await openRuntime({ store, log: 'silent', durability: 'process' })
  try {
    await play(runtime)
    return await readRecording(store, id)
  } finally {
    await runtime.close()
  }
}

/** A tool `add({ a, b })` that notes what it was executed for. */
export function addTool(change: { readonly approval?: boolean } = {}): { readonly add: Tool; readonly executed: string[] } {
  const executed: string[] = []
  const add = tool({
    name: 'add',
    description: 'Adds two numbers.',
    input: z.object({ a: z.number(), b: z.number() }),
    ...change,
    run({ a, b }) {
      executed.push(`${a} + ${b}`)
      return a + b
    },
  })
  return { add, executed }
}

/** A model that counts how often it is asked, and fails. */
export function noModel(): { readonly model: Model; readonly calls: () => number } {
  let calls = 0
  return {
    calls: () => calls,
    model: async () => {
      calls++
      throw new Error('The model was asked')
    },
  }
}
