import type { Measure } from './bench.ts'
import { endChild, startChild } from './child.ts'
import { absolute, median } from './figure.ts'
import { fillStore } from './waiting-store.ts'

/** What runs cost that wait: another process opens their store. */
export const measureWaiting: Measure = async ({ rounds, folder }) => {
  const [directory, empty] = [folder('waiting'), folder('waiting-none')]
  await fillStore(directory)

  const open = async (path: string): Promise<{ readonly ms: number; readonly bytes: number }> => {
    const { child, told } = await startChild('waiting-child.ts', path)
    await endChild(child)
    return JSON.parse(told.line) // printed by the child
  }
  const full = []
  const none = []
  for (let round = 0; round < rounds; round++) {
    none.push(await open(empty))
    full.push(await open(directory))
  }
  const [ms, bytes] = [median(full.map((one) => one.ms)), median(full.map((one) => one.bytes))]
  const reference = { ms: median(none.map((one) => one.ms)), bytes: median(none.map((one) => one.bytes)) }
  const name = 'a store without any'
  return [
    absolute('opening a store with 100,000 waiting runs', ms, 'ms', { atMost: 300 }, { value: reference.ms, name }),
    absolute('memory of that process', bytes / 1e6, 'MB', { atMost: 150 }, { value: reference.bytes / 1e6, name }),
  ]
}
