import fc from 'fast-check'
import { isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { event, type Node, randomMachine, toMachine } from '../../../support/machine-app-random.ts'

/**
 * A machine that nobody has written: `random.ts?seed=7`. No delay is 0: that would be due between two events from outside, or not, as it happens.
 */
const seed = Number(new URL(import.meta.url).searchParams.get('seed') ?? 1)

type Acts = Node['entry']
const later = (acts: Acts): Acts =>
  acts.map((act) => ('raise' in act ? { ...act, delayMs: act.delayMs === undefined ? undefined : act.delayMs + 1 } : act))
const withActs = <T extends { readonly acts: Acts }>(arrow: T): T => ({ ...arrow, acts: later(arrow.acts) })
const tame = (node: Node): Node => ({
  ...node,
  // By way of a history state XState 5.33 enters states without noting all of those around them, until it is restored: the run that never died is the odd one then.
  kind: node.kind === 'shallow' || node.kind === 'deep' ? 'atomic' : node.kind,
  children: node.children.map(tame),
  entry: later(node.entry),
  exit: later(node.exit),
  on: node.on.map(({ event: type, arrow }) => ({ event: type, arrow: withActs(arrow) })),
  after: node.after.map(({ delayMs, arrow }) => ({ delayMs: delayMs + 1, arrow: withActs(arrow) })),
  always: node.always.map(withActs),
  hasKid: false, // it tells its parent something for as long as that begins it anew: for ever
})

/** What fast-check makes of a seed does not depend on what else it makes. */
const [[description, events] = []] = fc.sample(fc.tuple(randomMachine, fc.array(event, { minLength: 6, maxLength: 12 })), {
  seed,
  numRuns: 1,
})
if (description === undefined || events === undefined) throw new Error('There is a machine for each seed')

export const subject: CrashSubject = async (life) => {
  const machine = toMachine(tame(description))
  const runtime = await life.open({ machines: [machine] })
  const run = await runtime.start(machine, { id: 'random' })
  for (const [index, type] of events.entries())
    await life.outside.once(`${index} ${type}`, async () => {
      try {
        await run.send({ type }, { id: `event-${index}` })
      } catch (error) {
        if (!isPerdureError(error, 'RUN_ENDED')) throw error // it may have come to its end before its last event
      }
    })
  // All delays of the machine together are shorter.
  const rest = runtime.flow('rest', (_: undefined, { sleep }) => sleep(2_000))
  await rest.run(undefined, { id: 'rest' })
  const { status, value, context } = await run.snapshot()
  return { status, value, context }
}
