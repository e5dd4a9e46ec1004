/** `waiting-child.ts <folder>`: opens a store in which runs wait, and tells how long that took and how much memory the process has when all has been looked at. */
import { openRuntime } from 'perdure'
import { counter } from './counter.ts'

const [directory = ''] = process.argv.slice(2)
const startedAt = performance.now()
const runtime = await openRuntime({ directory, machines: [counter], log: 'silent' })
const ms = performance.now() - startedAt
await runtime.resume()
console.log(JSON.stringify({ ms, bytes: process.memoryUsage().rss }))
await runtime.close()
