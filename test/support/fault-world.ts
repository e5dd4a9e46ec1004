import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { type Did, type Life, type LifeOptions, liveOnce, readEffects, type Said, type Task } from './fault-child.ts'
import { counterIds, toReport } from './fault-expected.ts'

/** One store, and the lives that were lived on it: what they were told was done is what the next must find. */
export interface FaultWorld {
  readonly directory: string
  readonly lives: readonly Life[]
  /** Lives once more, knowing what the earlier lives acknowledged. */
  live(task?: Partial<Task>, options?: LifeOptions): Promise<Life>
  /** Lives undisturbed to the end, and asserts that nothing acknowledged was lost, nothing settled was done again and the end is that of a world without faults. */
  assertWhole(): Promise<void>
  /** Asserts that a life came to the end of a world without faults. */
  assertEnd(life: Life): void
  /** Takes back a life whose store was thrown away: as if it had never been. */
  forget(life: Life): void
  readonly effects: () => readonly Did[]
}

export interface WorldOptions
  extends Partial<Pick<Task, 'events' | 'padBytes' | 'rounds' | 'sleepMs' | 'restMs' | 'retries' | 'url'>> {
  readonly directory: string
  /** The file of effects: outside of what the fault hits. */
  readonly effects: string
}

export function createFaultWorld({ directory, effects, ...sizes }: WorldOptions): FaultWorld {
  const lives: Life[] = []
  const plan = { events: 12, padBytes: 0, rounds: 2, sleepMs: 5, restMs: 10, retries: 0, ...sizes }
  writeFileSync(effects, '')

  const ofType = <Type extends Said['type']>(type: Type): Extract<Said, { type: Type }>[] =>
    lives.flatMap(({ said }) => said).filter((one): one is Extract<Said, { type: Type }> => one.type === type)

  const live = async (task: Partial<Task> = {}, options: LifeOptions = {}): Promise<Life> => {
    const acknowledged: Record<string, number[]> = {}
    for (const { id, n } of ofType('acknowledged')) acknowledged[id] = [...(acknowledged[id] ?? []), n]
    const started = ofType('started').map(({ id }) => id)
    const life = await liveOnce(directory, effects, { ...plan, life: lives.length + 1, started, acknowledged, ...task }, options)
    lives.push(life)
    return life
  }

  const assertEnd = (life: Life): void => {
    assert.deepEqual(stopOf(life), undefined, `life ${life.life} stopped: ${life.stderr}`)
    const outputs = life.said.find((one) => one.type === 'result')?.outputs
    assert.ok(Array.isArray(outputs), `life ${life.life} has no result: ${life.stderr}`)
    const [report, ...counters] = outputs
    assert.deepEqual(report, toReport(plan.rounds))
    const all = Array.from({ length: plan.events }, (_, n) => n)
    for (const [index, { numbers, seal }] of counters.entries()) {
      const id = counterIds[index]
      assert.deepEqual(
        [...numbers].sort((a: number, b: number) => a - b),
        all,
        `${id}: lost or doubled events`,
      )
      assert.equal(seal, `sealed ${plan.events}`, id)
    }
  }

  const assertWhole = async (): Promise<void> => {
    assertEnd(await live())
    assertDoneOnce(lives, readEffects(effects))
    const answered = ofType('answered').map(({ id }) => id)
    assert.deepEqual(answered, [...new Set(answered)], 'asked a person again what was answered')
    assert.deepEqual(ofType('dropped'), [])
  }

  const forget = (life: Life): void => {
    lives.splice(lives.indexOf(life), 1, { ...life, said: [] })
    const kept = readEffects(effects).filter((each) => each.life !== life.life)
    writeFileSync(effects, kept.map((each) => `${JSON.stringify(each)}\n`).join(''))
  }

  return { directory, forget, assertEnd, lives, live, assertWhole, effects: () => readEffects(effects) }
}

/** What stopped a life, `undefined` if nothing did. */
export const stopOf = ({ said }: Life): { readonly code: string; readonly message: string } | undefined =>
  said.find((one) => one.type === 'stopped')

/** Nothing is executed in a life after the one that said that it had settled, nor twice in one life (P2). */
function assertDoneOnce(lives: readonly Life[], effects: readonly Did[]): void {
  const settled = new Map<string, number>()
  for (const { life, said } of lives)
    for (const one of said) if (one.type === 'settled' && !settled.has(one.name)) settled.set(one.name, life)
  const again = effects.filter(({ life, name }) => life > (settled.get(name) ?? Number.POSITIVE_INFINITY))
  assert.deepEqual(again, [], 'settled, and executed again')
  const names = effects.map(({ life, name }) => `${life} ${name}`)
  assert.deepEqual(
    names.filter((name, index) => names.indexOf(name) !== index),
    [],
    'executed twice in one life',
  )
  const known = new Set(effects.map(({ name }) => name))
  assert.ok(
    [...settled.keys()].some((name) => name.startsWith('tool ') && known.has(name)),
    'effects and settled calls do not go by the same names',
  )
}
