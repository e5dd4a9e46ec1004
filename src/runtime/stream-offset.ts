import { z } from 'zod'
import type { GivenCall } from './stream-given.ts'
import { createPosition, type StreamPosition } from './stream-position.ts'
import { NOTHING, type Prefix } from './stream-text.ts'

/** A {@link StreamPosition} as a text, for whoever goes on with it later: perhaps in another process. */

const Texts = z.tuple([z.int().min(0), z.int(), z.int()])
const Call = z.tuple([z.int(), z.int(), z.int(), z.union([z.literal(0), z.literal(1)]), z.array(Texts)])
const Answers = z.tuple([z.int(), z.int(), z.int()])
const Content = z.tuple([
  z.literal(1),
  z.string(),
  /** What gave it: epochs mean something there only. */
  z.string(),
  z.tuple([z.number(), z.number()]),
  z.array(z.tuple([z.string(), z.string(), z.string(), z.int(), z.array(z.tuple([z.int(), Call])), z.array(Answers)])),
  z.array(z.tuple([z.string(), z.string(), Call])),
])
type Content = z.output<typeof Content>

const toTexts = ({ length, sum }: Prefix): z.output<typeof Texts> => [length, ...sum]
const toCall = ({ attempt, epoch, progress, isSettled, text, pieces }: GivenCall): z.output<typeof Call> => [
  attempt,
  epoch,
  progress,
  isSettled ? 1 : 0,
  [text, ...pieces].map(toTexts),
]

export function toOffset(runId: string, source: string, { heardAt, since, agents, others }: StreamPosition): string {
  const content: Content = [
    1,
    runId,
    source,
    [heardAt, since],
    [...agents.values()].map(({ runId: run, agent, turn, epoch, answers, settled }) => [
      run.slice(runId.length),
      agent,
      turn,
      epoch,
      [...answers].map(([answer, given]) => [answer, toCall(given)]),
      settled.map(({ first, last, attempt }) => [first, last, attempt]),
    ]),
    [...others.values()].map(({ runId: run, key, given }) => [run.slice(runId.length), key, toCall(given)]),
  ]
  return Buffer.from(JSON.stringify(content)).toString('base64url')
}

function parseContent(offset: unknown): Content | undefined {
  if (typeof offset !== 'string') return undefined
  try {
    return Content.parse(JSON.parse(Buffer.from(offset, 'base64url').toString()))
  } catch {
    return undefined
  }
}

/** Errors: a `TypeError` for what no chunk of a stream of that run has as its offset. */
export function parseOffset(runId: string, source: string, offset: unknown): StreamPosition {
  const content = parseContent(offset)
  if (content === undefined)
    throw new TypeError(`Expected \`offset\` to be that of a chunk of a stream, got \`${String(offset).slice(0, 60)}\``)
  const [, of, by, [heardAt, since], agents, others] = content
  if (of !== runId) throw new TypeError(`Expected \`offset\` to be of the stream of run \`${runId}\`, got one of run \`${of}\``)
  const toEpoch = (epoch: number): number => (by === source ? epoch : 0)
  const toGiven = ([attempt, epoch, progress, isSettled, texts]: z.output<typeof Call>): GivenCall => {
    const [text = NOTHING, ...pieces] = texts.map(([length, one, other]): Prefix => ({ length, sum: [one, other] }))
    return { attempt, epoch: toEpoch(epoch), progress, isSettled: isSettled === 1, text, pieces }
  }
  const position = { ...createPosition(since), heardAt }
  for (const [run, agent, turn, epoch, answers, settled] of agents)
    position.agents.set(`${runId}${run}#${agent}`, {
      runId: `${runId}${run}`,
      agent,
      turn,
      epoch: toEpoch(epoch),
      answers: new Map(answers.map(([answer, call]) => [answer, toGiven(call)])),
      settled: settled.map(([first, last, attempt]) => ({ first, last, attempt })),
    })
  for (const [run, key, call] of others)
    position.others.set(`${runId}${run}#${key}`, { runId: `${runId}${run}`, key, given: toGiven(call) })
  return position
}
