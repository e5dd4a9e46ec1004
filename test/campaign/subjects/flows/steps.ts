import type { CrashSubject } from 'perdure/testing'

/** Steps one after the other, in a loop and a condition, each with an effect. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('order', async (items: readonly string[], { step }) => {
    const prices: number[] = []
    for (const item of items)
      prices.push(
        await step('price', async ({ key }) => {
          await life.outside.effect(`price of ${item}`, key)
          return item.length
        }),
      )
    const total = prices.reduce((sum, price) => sum + price, 0)
    if (total > 8) await step('gift', ({ key }) => life.outside.effect('gift', key))
    return total
  })
  return flow.run(['tea', 'rice', 'nuts'], { id: 'order-1' })
}
