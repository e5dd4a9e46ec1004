/** `ls-owner.ts <folder>`: an app that has a store open, until it is killed. */
import { openRuntime } from 'perdure'
import { counter } from './counter.ts'

const [directory = ''] = process.argv.slice(2)
await openRuntime({ directory, machines: [counter], log: 'silent' })
console.log('open')
setInterval(() => {}, 60_000)
