import type { CrashSubject } from 'perdure/testing'
import { setup } from 'xstate'

/** A run is found by the tags and the meta of its state, also after a restart. */
export const subject: CrashSubject = async (life) => {
  const draft = setup({
    types: { events: {} as { type: 'submit' } | { type: 'accept' }, tags: {} as 'editable' | 'public' },
  }).createMachine({
    id: 'draft',
    initial: 'writing',
    states: {
      writing: { tags: 'editable', meta: { colour: 'grey' }, on: { submit: 'reviewing' } },
      reviewing: { meta: { colour: 'yellow' }, on: { accept: 'published' } },
      published: { tags: 'public', meta: { colour: 'green' } },
    },
  })
  const runtime = await life.open({ machines: [draft] })
  const run = await runtime.start(draft, { id: 'draft' })
  await life.outside.once('submit', () => run.send({ type: 'submit' }, { id: 'submit' }))
  await life.outside.once('accept', () => run.send({ type: 'accept' }, { id: 'accept' }))
  return (await run.waitFor('public')).getMeta()
}
