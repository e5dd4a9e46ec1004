import { rm } from 'node:fs/promises'
import type { ModelRequest } from 'perdure'
import {
  type Agent,
  buildAgent,
  type Model,
  openRuntime,
  type Profile,
  type Runtime,
  type RuntimeEvent,
  type RuntimeOptions,
  type Tool,
  tool,
} from 'perdure'
import type { ScriptedAnswer } from 'perdure/testing'
import { z } from 'zod'
import { createTempRoom, type TempRoom } from './temp-room.ts'

/** An open runtime whose events are kept. */
export interface RecordedRuntime extends Runtime {
  readonly events: RuntimeEvent[]
}

export interface RuntimeRoom {
  readonly room: TempRoom
  /** Opens a runtime; without a directory in a new one. Closed at the latest when the room is. */
  open(directory?: string, options?: Pick<RuntimeOptions, 'clock' | 'machines' | 'autoResume'>): Promise<RecordedRuntime>
  remove(): Promise<void>
}

/** A room for tests of the runtime; its maker removes it when the tests are done. */
export async function createRuntimeRoom(): Promise<RuntimeRoom> {
  const room = await createTempRoom()
  const runtimes = new Set<Runtime>()
  return {
    room,
    async open(directory = room.path('store'), options = {}) {
      const events: RuntimeEvent[] = []
      const runtime = await openRuntime({
        directory,
        log: 'silent',
        durability: 'process',
        onEvent: (event) => events.push(event),
        ...options,
      })
      runtimes.add(runtime)
      return Object.assign(runtime, { events })
    },
    async remove() {
      await Promise.all([...runtimes].map((runtime) => runtime.close()))
      await rm(room.root, { recursive: true, force: true })
    },
  }
}

/** An agent with what a test does not care about filled in. */
export function testAgent(model: Model, profile: Partial<Profile> = {}, tools: readonly Tool[] = []): Agent {
  const allowedTools = profile.allowedTools ?? tools.map(({ name }) => name)
  return buildAgent(
    { name: 'default', systemPrompt: 'Be brief.', model: 'test-model', ...profile, allowedTools },
    { model, tools },
  )
}

/** A tool `note({ text })` that answers `noted <text>`, and what it was called with. `until` holds a call back. */
export function noteTool(until: (text: string, signal: AbortSignal) => unknown = () => {}) {
  const notes: string[] = []
  const note = tool({
    name: 'note',
    description: 'Writes a note down',
    effect: 'idempotent',
    input: z.object({ text: z.string() }),
    async run({ text }, { signal }) {
      notes.push(text)
      await until(text, signal)
      return `noted ${text}`
    },
  })
  return { note, notes }
}

export const callNote = (text: string) => ({ name: 'note', arguments: { text } })

/** Answers each prompt with `<prompt>!`. */
export const echo = ({ messages }: ModelRequest): string => `${lastPrompt({ messages })}!`

/** The newest prompt of a conversation. */
export const lastPrompt = ({ messages }: Pick<ModelRequest, 'messages'>): string =>
  messages.findLast(({ role }) => role === 'user')?.content ?? ''

/** Asks for one note in each round, `rounds` times for each prompt, then answers with all results. */
export function noteRounds(rounds: number): (request: ModelRequest) => ScriptedAnswer {
  return ({ messages }) => {
    const since = messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1)
    const results = since.filter(({ role }) => role === 'tool')
    if (results.length < rounds) return { toolCalls: [callNote(`${lastPrompt({ messages })} ${results.length + 1}`)] }
    return { text: results.map(({ content }) => content).join(', ') || 'nothing' }
  }
}

/** The types of events, with the checkpoint where there is one, without calls and text. */
export const toStory = (events: readonly RuntimeEvent[]): string[] =>
  events
    .filter(({ type }) => type.startsWith('run.') || type.startsWith('checkpoint.'))
    .map((event) => {
      const checkpoint = 'checkpoint' in event ? ` ${event.checkpoint}` : ''
      return `${event.type}${checkpoint}${event.type === 'checkpoint.started' ? ` (${[event.reason, ...event.changed].join(': ')})` : ''}`
    })

/** A checkpoint of the story with how it came about: `ran`, `reused`, `failed`. */
export const toOutline = (events: readonly RuntimeEvent[]): string[] =>
  toStory(events).flatMap((line) => {
    const [type = '', checkpoint = '', reason] = line.split(/ (.*?)(?: \((.*)\))?$/)
    return type === 'checkpoint.started'
      ? [`${checkpoint} ${reason}`]
      : type === 'checkpoint.reused'
        ? [`${checkpoint} reused`]
        : []
  })
