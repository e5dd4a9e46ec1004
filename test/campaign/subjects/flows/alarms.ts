import type { CrashSubject } from 'perdure/testing'

const hour = 3_600_000

/** Sleeps and deadlines side by side: what one of them leads to is written while the others still last. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const flow = runtime.flow('kitchen', async (_: undefined, { all, sleep, step, waitFor }) => {
    const ring = (what: string, ms: number) => async () => {
      await sleep(ms)
      return step('ring', ({ key }) => outside.effect(`${what} is done`, key).then(() => what))
    }
    const tasted = () => waitFor('tasted', { timeoutMs: 2.5 * hour }).catch(() => 'nobody tasted')
    const done = await all([ring('bread', 3 * hour), ring('rice', hour), ring('soup', 2 * hour), tasted])
    return done.join(', ')
  })
  return flow.run(undefined, { id: 'kitchen' })
}
