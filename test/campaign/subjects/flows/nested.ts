import type { CrashSubject } from 'perdure/testing'

/** A flow that runs other flows, one of them in a loop. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const ship = runtime.flow('ship', (parcel: string, { step }) =>
    step('hand over', async ({ key }) => {
      await life.outside.effect(`handed over ${parcel}`, key)
      return `${parcel} is on its way`
    }),
  )
  const order = runtime.flow('order', async (parcels: readonly string[], { step }) => {
    await step('reserve', ({ key }) => life.outside.effect('reserved', key))
    const shipped: string[] = []
    for (const parcel of parcels) shipped.push(await ship.run(parcel, { id: `ship-${parcel}` }))
    return shipped
  })
  return order.run(['a', 'b', 'c'], { id: 'order' })
}
