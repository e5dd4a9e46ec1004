import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { call, inRounds, noteTool } from '../../scene.ts'

/** A machine of a user's own that has two agents work for it, beside each other. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const build = (name: string) =>
    buildAgent(
      { name, systemPrompt: '', model: 'm', allowedTools: ['note'] },
      { model: outside.model(inRounds([call('note', name)])), tools: [noteTool(outside)] },
    )
  const desk = setup({
    types: { context: {} as { readonly texts: readonly string[] } },
    actors: { poet: build('poet').machine, critic: build('critic').machine },
  }).createMachine({
    id: 'desk',
    context: { texts: [] },
    initial: 'working',
    states: {
      working: {
        type: 'parallel',
        states: Object.fromEntries(
          (['poet', 'critic'] as const).map((name) => [
            name,
            {
              initial: 'busy',
              states: {
                busy: {
                  invoke: {
                    src: name,
                    id: name,
                    input: { prompt: `Be a ${name}.` },
                    onDone: 'done',
                  },
                },
                done: { type: 'final' as const },
              },
            },
          ]),
        ),
        onDone: 'over',
      },
      over: { type: 'final', entry: assign({ texts: ['both'] }) },
    },
    output: ({ context }) => context.texts,
  })
  const runtime = await life.open({ machines: [desk] })
  const run = await runtime.start(desk, { id: 'desk' })
  return run.done()
}
