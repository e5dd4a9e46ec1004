/**
 * Forking a conversation: a new one begins with what came before a turn, or a call, of another. The messages up to there are taken, not copied (`fork-run.ts`); all
 * else is made anew, as of a turn that was broken off right before that point. Whoever runs the conversation takes it up.
 */
import { randomBytes } from 'node:crypto'
import type { ProfileChange } from '../actors/profile.ts'
import { PerdureError } from '../errors.ts'
import { toUserMessage } from '../machines/agent-turn.ts'
import type { Message } from '../machines/conversation.ts'
import { type BrokenOffTurn, toForkedState } from '../machines/forked-state.ts'
import { type Beginning, forkRun } from '../persistence/fork-run.ts'
import { assertRunId, stepKey } from '../persistence/keys.ts'
import { type Head, loadHead, type StepRecord } from '../persistence/run-log.ts'
import { parseStep } from '../persistence/run-record.ts'
import { NO_STANDING } from './attempt.ts'
import { HeadData, toStoredHead } from './conversation.ts'
import type { ActorRecord } from './durable-actor.ts'
import { toHash } from './fingerprint.ts'
import { readCallsBefore } from './fork-calls.ts'
import { type ForkOptions, type ForkPoint, parseForkOptions } from './fork-options.ts'
import { parseRecorded } from './recorded.ts'
import { toForkImpossible, toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'
import { NO_SPEND } from './spend.ts'
import { toCheckpointName } from './turn.ts'
import { idKey, parseTurn, type RecordedTurn, turnKey, versionKey } from './turn-record.ts'

/** Forks a conversation, and resolves with the id of the new one when it is on disk. Errors: those of `Runtime.fork`. */
export async function forkConversation(services: Services, id: string, given: ForkOptions): Promise<string> {
  assertRunId(id)
  const options = parseForkOptions(given)
  const asked = await readHead(services, id)
  const { fork: before } = readData(asked)
  const origin = await findOrigin(services, asked, options.at)
  const fork = options.id ?? toForkId(asked)
  assertForkId(fork, asked.name, id)
  const profile = mergeProfiles(before?.profile, options)
  const begin = async (head: Head): Promise<Beginning> => {
    const { turns, turn, ...beginning } = await toBeginning(services, head, options)
    const from = { run: head.id, createdAt: head.createdAt, turn, ...(profile === undefined ? {} : { profile }) }
    return {
      ...beginning,
      path: ['actor', 'context', 'messages'],
      data: toStoredHead({ turns, spend: NO_SPEND, owner: 'session', fork: from }),
    }
  }
  const isDone = await services.claims.briefly(fork, () => forkRun(services, origin, fork, begin))
  if (!isDone) throw toNotFound(origin)
  return fork
}

/** Errors: `RUN_NOT_FOUND`, `FORK_IMPOSSIBLE`. */
async function readHead({ store }: Services, id: string): Promise<Head> {
  const head = await loadHead(store, id)
  if (head === undefined) throw toNotFound(id)
  if (head.kind === 'agent') return head
  const instead = head.kind === 'flow' ? `Fork one of its conversations, \`${id}/<agent>\`` : 'Fork the conversation of an agent'
  throw toForkImpossible(
    id,
    `it is the ${head.kind} \`${head.name}\`, and only conversations of agents can be forked. ${instead}`,
  )
}

/** Errors: `RUN_CORRUPT`. */
const readData = ({ id, data }: Head) => parseRecorded(HeadData, data, id, 'head')

/** The run that has the records of a turn: of a fork, the earlier ones are its origin's. Errors: `FORK_IMPOSSIBLE`. */
async function findOrigin(services: Services, asked: Head, at: ForkPoint): Promise<string> {
  const needed = 'turn' in at ? at.turn : at.after + 1
  let head = asked
  for (let { fork } = readData(head); fork !== undefined && needed < fork.turn; { fork } = readData(head)) {
    const origin = await loadHead(services.store, fork.run)
    if (origin === undefined || origin.createdAt !== fork.createdAt)
      throw toForkImpossible(
        asked.id,
        `its first ${fork.turn - 1} turns are those of \`${fork.run}\`, which was deleted. It can be forked from turn ${fork.turn} on, or \`after\` turn ${fork.turn - 1}`,
      )
    head = origin
  }
  return head.id
}

/** Where a fork begins, and with what. */
type Begun = Omit<Beginning, 'path' | 'data'> & {
  readonly turns: number
  /** Its first turn of its own. */
  readonly turn: number
}

async function toBeginning(services: Services, head: Head, options: ForkOptions): Promise<Begun> {
  const { at } = options
  const { turns, fork } = readData(head)
  const number = 'turn' in at ? at.turn : at.after
  if (number > turns) throw toForkImpossible(head.id, `it has ${turns} turns, and no turn ${number}`)
  if ('turn' in at) return beginAt(services, head, at, options)
  const next = number < turns ? await readTurn(services, head.id, number + 1) : undefined
  const last = next === undefined && number >= (fork?.turn ?? 1) ? await readTurn(services, head.id, number) : undefined
  if (last !== undefined && last.status !== 'ok')
    throw toForkImpossible(head.id, `turn ${number} has come to no answer. Fork it \`at\` that turn, or after an earlier one`)
  return {
    turns: number,
    turn: number + 1,
    status: 'completed',
    steps: [],
    length: next?.start,
    toSnapshot: (list) => toForkedSnapshot(list as readonly Message[], number, undefined), // the messages, or what stands for them
  }
}

async function beginAt(
  services: Services,
  { id, name }: Head,
  { turn, call }: { readonly turn: number; readonly call?: string | undefined },
  options: ForkOptions,
): Promise<Begun> {
  const recorded = await readTurn(services, id, turn)
  const { prompt } = options
  const { start, version } = recorded
  const now = services.now()
  const before =
    call === undefined ? undefined : await readCallsBefore(services.store, { run: id, turn, version, call }, options, now)
  const { length = prompt === undefined ? start + 1 : start, calls = [], ...made } = before ?? {}
  const asked = prompt === undefined ? [] : [toUserMessage(prompt)]
  return {
    turns: turn,
    turn,
    status: 'running',
    steps: [...toTurnSteps(services, recorded, toCheckpointName(name, turn), turn, prompt), ...calls],
    length,
    toSnapshot: (list) =>
      toForkedSnapshot([...(list as readonly Message[]), ...asked], turn, { key: versionKey(turn, version), start, ...made }), // see above
  }
}

/** The turn as one that was cut off. What it was asked for may have been of a form that whoever runs it names again. */
function toTurnSteps(
  { store, now }: Services,
  { fingerprint: { output: _, ...fingerprint }, id, start, version }: RecordedTurn,
  name: string,
  turn: number,
  prompt: string | undefined,
): readonly (readonly [key: string, record: StepRecord])[] {
  const isSame = prompt === undefined
  const data = {
    ...NO_STANDING,
    fingerprint: isSame ? fingerprint : { ...fingerprint, prompt: toHash(prompt) },
    version,
    start,
    ...(isSame && id !== undefined ? { id } : {}),
  }
  const startedAt = now()
  const record: StepRecord = { kind: 'turn', name, status: 'intended', attempt: 1, startedAt, data }
  if (!isSame || id === undefined) return [[turnKey(turn), record]]
  const named: StepRecord = { kind: 'id', name: id, status: 'ok', attempt: 1, startedAt, endedAt: startedAt, value: turn }
  return [
    [turnKey(turn), record],
    [idKey(id, store.hashKey), named],
  ]
}

/** The snapshot of a conversation that stands before its first turn, or in one that was broken off. */
export function toForkedSnapshot(messages: readonly Message[], turn: number, brokenOff: BrokenOffTurn | undefined): ActorRecord {
  const state = toForkedState(messages, turn, brokenOff)
  const actor = { status: 'active', output: undefined, error: undefined, historyValue: {}, children: {}, ...state } as const
  return { actor, timers: [], steps: 0, actors: 0 }
}

/** Errors: `FORK_IMPOSSIBLE`, `RUN_CORRUPT`. */
async function readTurn({ store }: Services, run: string, turn: number): Promise<RecordedTurn> {
  const key = stepKey(run, turnKey(turn))
  const bytes = await store.get(key)
  if (bytes === undefined) throw toForkImpossible(run, `it has no turn ${turn}`)
  return parseTurn(run, parseStep(run, key, bytes))
}

function mergeProfiles(before: ProfileChange | undefined, options: ForkOptions): ProfileChange | undefined {
  const { systemPrompt, model, settings } = options
  const changes = Object.entries({ systemPrompt, model, settings: settings && { ...before?.settings, ...settings } })
  const merged = { ...before, ...Object.fromEntries(changes.filter(([, value]) => value !== undefined)) }
  return Object.keys(merged).length === 0 ? undefined : merged
}

/** `<agent>/<session>~<random>`. */
function toForkId({ id, name }: Head): string {
  const session = id.startsWith(`${name}/`) ? id.replace(/~[0-9a-f]{8}$/, '') : `${name}/fork`
  return `${session}~${randomBytes(4).toString('hex')}`
}

/** Errors: `RUN_ID_INVALID`. */
function assertForkId(fork: string, name: string, origin: string): void {
  assertRunId(fork)
  if (fork.length > name.length + 1 && fork.startsWith(`${name}/`) && !fork.startsWith(`${origin}/`)) return
  throw new PerdureError(
    'RUN_ID_INVALID',
    `Expected the id of a fork of \`${origin}\` to be \`${name}/<session>\`, and not one below it, got \`${fork}\`: it is the session of that name.`,
    { details: { run: fork } },
  )
}
