import type { CrashSubject } from 'perdure/testing'

/** A run that fails is run again: what had settled stays, what had failed is executed once more. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const flow = runtime.flow('import', async (_: undefined, { step }) => {
    await step('download', ({ key }) => outside.effect('downloaded', key))
    return step('parse', async ({ key, attempt: tries }) => {
      if (tries < 2) throw new SyntaxError('cut off')
      await outside.effect('parsed', key)
      return 'imported'
    })
  })
  for (;;) {
    try {
      return await flow.run(undefined, { id: 'import' })
    } catch (error) {
      if (!(error instanceof Error && error.message === 'cut off')) throw error
    }
  }
}
