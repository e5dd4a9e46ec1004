/**
 * P3 by death: for every policy, a process that kills itself at each moment around an effect, and a second one that takes up what it left. Held against each other are
 * what the outside world saw, what whoever asked for the effect was told, and what a person reads in the journal afterwards.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  type DoubtAppReport,
  type DoubtMode,
  type DoubtMoment,
  type DoubtPolicyName,
  doubtMoments,
  doubtPolicies,
} from '../support/doubt-app-policies.ts'
import { createWorld, liveInDoubt, type World } from '../support/doubt-app-world.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

/** How an effect comes out of doubt. */
interface Way {
  /** Whether it is executed once more. */
  readonly isExecuted?: boolean
  readonly resolution?: string
  /** What the model is told. Without: what the effect returned. */
  readonly tool?: string
  /** What the step of a machine or a flow ended with. */
  readonly step?: string
  readonly isAsked?: boolean
}

const unknown =
  'The process was ended while tool `send` ran, and the outcome is not known: it may have happened completely, in part, or not at all. Find out before you call it again.'
const inDoubt =
  'STEP_IN_DOUBT: The process ended while this step ran, and its outcome is not known: it may or may not have had its effect.'

const retried: Way = { isExecuted: true, resolution: 'retried' }
const reported = (detail?: string): Way => ({
  resolution: 'reported',
  tool: detail === undefined ? unknown : `${unknown}\n${detail}`,
  step: detail === undefined ? inDoubt : `${inDoubt} ${detail}`,
})

/** What is done about each policy. `didHappen`: the outside world has seen the effect. */
const ways: Readonly<Record<DoubtPolicyName, (didHappen: boolean) => Way>> = {
  none: () => retried,
  idempotent: () => retried,
  report: () => reported(),
  'report by word': () => reported(),
  retry: () => retried,
  'ask, answered with a result': () => ({ resolution: 'answered', tool: '{"sent":1}', step: '{"sent":1}', isAsked: true }),
  'ask, answered with an error': () => ({
    resolution: 'answered',
    tool: 'Tool `send` failed: the post office is closed',
    step: 'Error: the post office is closed',
    isAsked: true,
  }),
  'ask, answered with retry': () => ({ ...retried, isAsked: true }),
  'recover by the key': (didHappen) =>
    didHappen ? { resolution: 'recovered', tool: 'found 1', step: 'found 1' } : { isExecuted: true },
  'recover: settled with an error': () => ({
    resolution: 'recovered',
    tool: 'Tool `send` failed: it was refused',
    step: 'Error: it was refused',
  }),
  'recover: not started': () => ({ isExecuted: true }),
  'recover: unknown': () => reported('The log is gone.'),
  'recover: unknown, then retry': () => retried,
  'recover: throws': () => reported('Finding out failed: no connection'),
}

const keys: Readonly<Record<DoubtMode, string>> = {
  session: 'call/000001.1/m001/call_1',
  agent: 'call/000001/m001/call_1',
  machine: 'send#1',
  flow: 'step/send',
}

interface Expected extends DoubtAppReport {
  readonly seen: readonly number[]
}

function expect(policy: DoubtPolicyName, mode: DoubtMode, moment: DoubtMoment): Expected {
  const isTool = mode === 'session' || mode === 'agent'
  const kind = isTool ? 'tool' : 'step'
  const key = keys[mode]
  const isIn = moment !== 'before the intent' && moment !== 'after it has settled'
  const didHappen = moment === 'during the effect' || moment === 'before it has settled'
  const way = isIn ? ways[policy](didHappen) : {}
  const { isExecuted = false, resolution, isAsked = false } = way
  const attempt = isExecuted ? 2 : 1
  const told = (isTool ? way.tool : way.step) ?? `did ${attempt}`
  const seen = [...(didHappen || !isIn ? [1] : []), ...(isExecuted ? [2] : [])]
  const status = !isTool && way.step !== undefined && /^\w+: /.test(told) ? 'error' : 'ok'
  const steps: DoubtAppReport['steps'][number][] = [[key, status, attempt, resolution ?? null]]
  if (isAsked) steps.push([`${key}/doubt/1`, 'ok', 1, null])
  const doubts: [string, string][] = resolution === undefined ? [] : [[kind, resolution]]
  const questions = isAsked
    ? [
        `The process ended while ${kind} \`${mode === 'machine' ? 'step' : 'send'}\` ran, and its outcome is not known. What did it come to?`,
      ]
    : []
  if (!isTool) return { told, seen, steps, doubts: mode === 'flow' ? [] : doubts, questions }

  // The request that was in flight, or whose answer was not on disk, is made again; what it cost counts.
  const [isFirstLost, isSecondLost] = [moment === 'before the intent', moment === 'after it has settled']
  const call = key.replace('/m001/call_1', '')
  const toModel = (name: string, isLost: boolean): DoubtAppReport['steps'][number] => [
    `${call}/${name}`,
    'ok',
    isLost ? 2 : 1,
    isLost ? 'retried' : null,
  ]
  steps.unshift(toModel('m001', isFirstLost))
  steps.push(toModel('m002', isSecondLost))
  if (isFirstLost || isSecondLost) doubts.push(['model', 'retried'])
  if (mode === 'agent') return { told, seen, steps, doubts, questions }
  steps.push(['turn/000001', 'ok', 2, null])
  const modelCalls = { reused: isFirstLost ? 0 : 1, paid: isFirstLost ? 3 : isSecondLost ? 2 : 1 }
  return { told, seen, steps, doubts, questions, modelCalls }
}

describe('an effect whose process is killed', { concurrency: 3 }, () => {
  let room: TempRoom
  let world: World
  before(async () => {
    room = await createTempRoom()
    world = await createWorld()
  })
  after(async () => {
    await world[Symbol.asyncDispose]()
    await room.remove()
  })

  type Case = readonly [policy: DoubtPolicyName, moment: DoubtMoment]

  /** Each dies in a process of its own; one process takes up what they left. */
  const check = async (mode: DoubtMode, cases: readonly Case[]): Promise<void> => {
    const cache = `${room.root}/cache`
    const lives = cases.map(([policy, moment]) => {
      const directory = room.path()
      const path = directory.slice(room.root.length)
      return { policy, moment, path, order: { directory, world: world.url + path, policy, mode } }
    })
    for (const { order, moment } of lives)
      assert.equal(await liveInDoubt([{ ...order, moment }], cache), undefined, `dies ${moment}`)
    const reports = await liveInDoubt(
      lives.map(({ order }) => order),
      cache,
    )
    for (const [index, { policy, moment, path }] of lives.entries()) {
      const seen = world.seen(path)
      const actual = { ...reports?.[index], seen: seen.map(({ attempt }) => attempt) }
      assert.deepEqual(actual, expect(policy, mode, moment), `${policy}, ${moment}`)
      assert.ok(new Set(seen.map(({ key }) => key)).size <= 1, `one key for all attempts: ${policy}, ${moment}`)
    }
  }
  const names = Object.keys(doubtPolicies) as DoubtPolicyName[] // it has these and no others

  for (const policy of names)
    test(`is done once, not done, or in doubt and resolved, whatever the moment (tool of a session; ${policy})`, () =>
      check(
        'session',
        doubtMoments.map((moment) => [policy, moment] as const),
      ))

  for (const mode of ['agent', 'machine', 'flow'] as const) {
    const others = names.filter((policy) => mode !== 'flow' || policy !== 'none') // a step of a flow always has an effect
    test(`is resolved in the same ways (${mode})`, () =>
      check(
        mode,
        others.map((policy) => [policy, 'during the effect'] as const),
      ))
    test(`is resolved whatever the moment (${mode})`, () =>
      check(
        mode,
        doubtMoments.map((moment) => ['recover by the key', moment] as const),
      ))
  }
})
