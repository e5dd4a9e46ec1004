/** `resume-reference.ts fill|resume <folder> <turns>`: the same conversation as a bare log in LevelDB, one record a message. */
import { Level } from 'level'
import { promptOf, stubText } from './turn-text.ts'

const importedAt = performance.now() // since the process began
const [task, directory = '', count = ''] = process.argv.slice(2)
const turns = Number(count)
const synced: object = { sync: true } // an option of classic-level, unknown to the abstract type
const database = new Level<string, object>(directory, { valueEncoding: 'json' })
await database.open()
const keyOf = (index: number): string => `log/${String(index).padStart(9, '0')}`

if (task === 'fill') {
  const contents = Array.from({ length: turns }, (_, turn) => [promptOf(turn + 1), stubText(), stubText(), stubText()]).flat()
  for (const [index, content] of contents.entries()) await database.put(keyOf(index), { role: 'assistant', content })
  console.log('stuck')
  setInterval(() => {}, 1_000)
} else {
  const messages: object[] = []
  for await (const message of database.values({ gte: 'log/', lt: 'log0' })) messages.push(message)
  await database.put(keyOf(messages.length), { role: 'assistant', content: stubText() }, synced)
  console.log(JSON.stringify({ messages: messages.length, importedAt, doneAt: performance.now() }))
  await database.close()
}
