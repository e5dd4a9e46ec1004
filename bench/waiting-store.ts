import { openRuntime } from 'perdure'
import { counter } from './counter.ts'

const RUNS = 100_000
const AT_ONCE = 1_000

/** Makes a store in which 100,000 runs wait. */
export async function fillStore(directory: string): Promise<void> {
  const runtime = await openRuntime({ directory, machines: [counter], log: 'silent', durability: 'process' })
  for (let done = 0; done < RUNS; done += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => runtime.start(counter, { id: `run-${done + index}` })))
  await runtime.close()
}
