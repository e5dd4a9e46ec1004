import { Level } from 'level'
import { openRuntime } from 'perdure'
import type { Measure } from './bench.ts'
import { absolute, median } from './figure.ts'
import { buildBenchAgent, promptOf } from './turn.ts'

const TURNS = 200

/** How long a finished turn of a flow takes that is asked for again: it comes from the store. */
export const measureCheckpoint: Measure = async ({ rounds, folder }) => {
  const runtime = await openRuntime({ directory: folder('checkpoint'), log: 'silent' })
  const durable = runtime.durable(buildBenchAgent())
  const interruption = new Error('interrupted')
  const turns: number[] = []
  let isAgain = false
  const flow = runtime.flow('bench', async () => {
    for (let turn = 1; turn <= TURNS; turn++) {
      const startedAt = performance.now()
      const { reused } = await durable.run(promptOf(turn))
      if (reused !== isAgain) throw new Error(`Turn ${turn} was ${reused ? '' : 'not '}returned from the store`)
      if (isAgain) turns.push(performance.now() - startedAt)
    }
    throw interruption
  })
  const attempt = () =>
    flow.run(undefined, { id: 'one' }).catch((error: unknown) => {
      if (!(error instanceof Error && error.message === interruption.message)) throw error
    })
  await attempt()
  isAgain = true

  const database = new Level<string, Uint8Array>(folder('checkpoint-reference'), { valueEncoding: 'view' })
  await database.open()
  for (let turn = 1; turn <= TURNS; turn++) await database.put(`turn/${turn}`, Buffer.alloc(1_400, 'x'))
  const gets: number[] = []
  for (let round = 0; round < rounds; round++) {
    await attempt()
    for (let turn = 1; turn <= TURNS; turn++) {
      const startedAt = performance.now()
      await database.get(`turn/${turn}`)
      gets.push(performance.now() - startedAt)
    }
  }
  await database.close()
  await runtime.close()
  return [
    absolute(
      'a checkpoint returned from the store',
      median(turns),
      'ms',
      { atMost: 0.2 },
      { value: median(gets), name: 'one LevelDB get of the same size' },
    ),
  ]
}
