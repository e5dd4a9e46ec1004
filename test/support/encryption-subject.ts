/** A program to be explored: each life opens the store with another key, and knows the earlier ones. */
import { createHash } from 'node:crypto'
import type { CrashSubject } from 'perdure/testing'

const keyOf = (life: number): Uint8Array => createHash('sha256').update(`life ${life}`).digest()

export const subject: CrashSubject = async (life) => {
  const previousKeys = Array.from({ length: life.number - 1 }, (_, index) => keyOf(index + 1))
  const runtime = await life.open({ encryption: { key: keyOf(life.number), previousKeys } })
  const flow = runtime.flow('order', async (item: string, { step }) => {
    const paid = await step('pay', ({ key }) => life.outside.effect(`payment for ${item}`, key))
    return step('send', ({ key }) => life.outside.effect(`parcel after ${String(paid)}`, key))
  })
  return flow.run('book')
}
