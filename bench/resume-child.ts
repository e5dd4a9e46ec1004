/** `resume-child.ts fill|resume <folder> <turns>`: a conversation whose process is killed in its last turn, and the process that takes it up. */
import { type Model, openRuntime } from 'perdure'
import { asked, buildBenchAgent, promptOf, stubModel } from './turn.ts'

const importedAt = performance.now() // since the process began
const [task, directory = '', count = ''] = process.argv.slice(2)
const turns = Number(count)

/** In the last turn, with the model and the tool settled, it never answers: there the process is killed. */
const stuckModel: Model = (request, context) => {
  const isStuck =
    request.messages.at(-1)?.role === 'tool' && request.messages.filter(({ role }) => role === 'user').length === turns
  if (!isStuck) return stubModel(request, context)
  setTimeout(() => console.log('stuck'), 200) // by then, what was recorded of the call is on disk
  setInterval(() => {}, 1_000) // it does not end by itself
  return new Promise(() => {})
}

if (task === 'fill') {
  const runtime = await openRuntime({ directory, log: 'silent' })
  const session = runtime.durable(buildBenchAgent(stuckModel)).session('one')
  for (let turn = 1; turn <= turns; turn++) await session.run(promptOf(turn), { id: `turn-${turn}` })
} else {
  const runtime = await openRuntime({ directory, log: 'silent' })
  const openedAt = performance.now()
  await runtime
    .durable(buildBenchAgent())
    .session('one')
    .run(promptOf(turns), { id: `turn-${turns}` })
  console.log(JSON.stringify({ ...asked, importedAt, openedAt, doneAt: performance.now() }))
  await runtime.close()
}
