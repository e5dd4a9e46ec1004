import { isPerdureError, type Pending, type Runtime } from 'perdure'
import type { CrashLife } from 'perdure/testing'

/**
 * A person who answers what the runs of `runtime` ask while `work` goes on: each question once, and once more in the next life when the answer was not
 * acknowledged. `decide` says what.
 */
export async function withPerson<T>(
  { outside }: CrashLife,
  runtime: Runtime,
  decide: (question: Pending) => unknown,
  work: () => Promise<T>,
): Promise<T> {
  const heard = new Set<string>()
  const failed = Promise.withResolvers<never>()
  const answer = async ({ runId, id }: Pending, value: unknown): Promise<void> => {
    try {
      await runtime.get(runId).answer(id, value)
    } catch (error) {
      // An earlier life has answered it, and did not live to hear so.
      if (!isPerdureError(error, 'STEP_SETTLED') || error.details.isSame !== true) throw error
    }
  }
  const lookAt = async (run?: string): Promise<void> => {
    for await (const question of runtime.pending(run === undefined ? {} : { run })) {
      const place = `${question.runId} ${question.id}`
      if (heard.has(place)) continue
      heard.add(place)
      await outside.once(`answer to ${place}`, () => answer(question, decide(question)))
    }
  }
  const listening = runtime.subscribe((event) => {
    if (event.type === 'question.asked') lookAt(event.runId).catch(failed.reject)
  })
  try {
    const working = Promise.race([work(), failed.promise])
    lookAt().catch(failed.reject)
    return await working
  } finally {
    listening.unsubscribe()
  }
}
