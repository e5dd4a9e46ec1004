/**
 * A program for tests that is killed at any moment and started again, until all runs of `machine-app-machines.ts` in the store argv[2] have come to their end.
 * Each execution of a step or promise appends a line to the file argv[3]. argv[4] is what the outside knows (JSON): what was acknowledged is not asked for again.
 * It says what it does, a JSON line each. Beyond starting the runs and sending the counters their events it asks for nothing: the rest goes on by itself.
 */
import { writeSync } from 'node:fs'
import { isPerdureError, openRuntime } from 'perdure'
import type { Said, Task } from './machine-app-life.ts'
import { allRuns, counterIds, createMachines, plan } from './machine-app-machines.ts'

const [, , directory = '', effects = '', task = '{}'] = process.argv
const { started, acknowledged, passivate } = JSON.parse(task) as Task // the test wrote it
const say = (said: Said): void => void writeSync(1, `${JSON.stringify(said)}\n`)

await using runtime = await openRuntime({
  directory,
  machines: createMachines(effects),
  log: 'silent',
  ...(passivate ? { passivate: { afterMs: 3, maxIdle: 2 } } : {}),
  onEvent(event) {
    if (event.type === 'call.settled') say({ type: 'settled', key: `${event.runId}#${event.key}` })
    else if (event.type === 'message.dropped' || event.type === 'run.blocked' || event.type === 'machine.failed')
      say({ type: 'wrong', what: `${event.type} ${event.runId} ${'error' in event ? event.error : JSON.stringify(event)}` })
  },
})
say({ type: 'open' })

const startAll = async (): Promise<void> => {
  for (const { id, machine, input } of allRuns.slice(started)) {
    await runtime.start(machine, { id, input })
    say({ type: 'started' })
  }
}

/** Sends what was not acknowledged in its order, three at a time under way. */
const sendAll = async (id: string, known: readonly number[]): Promise<void> => {
  const send = async (n: number): Promise<void> => {
    await runtime
      .get(id)
      .send({ type: 'add', n }, { id: `add ${n}` })
      .catch((error: unknown) => {
        if (!isPerdureError(error, 'RUN_ENDED')) throw error // it was taken, and nobody had heard of it
      })
    say({ type: 'acknowledged', id, n })
  }
  const underWay: Promise<void>[] = []
  for (let n = 0; n < plan.events; n++) {
    if (known.includes(n)) continue
    underWay.push(send(n))
    if (underWay.length >= 3) await underWay.shift()
  }
  await Promise.all(underWay)
}

/** Looks at the list of runs only: that brings none into memory. */
const untilCompleted = async (): Promise<void> => {
  for (;;) {
    let completed = 0
    for await (const { id, status } of runtime.runs()) {
      if (status === 'completed') completed++
      else if (status !== 'running') throw new Error(`Run ${id} is ${status}`)
    }
    if (completed === allRuns.length) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

await startAll()
await Promise.all(counterIds.map((id) => sendAll(id, acknowledged[id] ?? [])))
await untilCompleted()
const outputs: Record<string, unknown> = {}
for (const { id } of allRuns) outputs[id] = await runtime.get(id).done()
say({ type: 'result', outputs })
