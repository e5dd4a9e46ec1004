/**
 * A program for tests: opens the store in the directory argv[2] and says `open`, or the error as JSON. With argv[3] = `write` it then
 * puts 0, 1, 2, … one synced write after the other, saying each number once it is acknowledged, until it is killed; a failing
 * write ends that, with its code. With `obey` it puts each line of its input under that key, and says `done` or the error. Else it holds the
 * store until its input ends.
 */
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { isPerdureError, toMessage } from '../../src/errors.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'

const say = (line: string): void => void writeSync(1, `${line}\n`)
const toReport = (error: unknown): string => JSON.stringify(isPerdureError(error) ? error : { message: toMessage(error) })
const [, , directory = '', task] = process.argv

try {
  const store = await openLevelStore(directory)
  say('open')
  if (task === 'write') {
    for (let count = 0; ; count += 1) {
      await store.write([{ type: 'put', key: `n${count}`, value: new TextEncoder().encode(`${count}`) }])
      say(`${count}`)
    }
  }
  for await (const key of createInterface({ input: process.stdin })) {
    if (task !== 'obey') continue
    await store.write([{ type: 'put', key, value: new TextEncoder().encode(key) }]).then(
      () => say('done'),
      (error: unknown) => say(toReport(error)),
    )
  }
  await store.close()
} catch (error) {
  say(toReport(error))
}
