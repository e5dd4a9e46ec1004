/** The run that is looked at: loaded again when an event names it or a run within it. */
import { signal } from '@preact/signals'
import type { RunDetails, RunSnapshot, TranscriptMessage } from '../../management/management.ts'
import type { MachineDescription } from '../../runtime/machine-description.ts'
import { ApiError, ask, type CutText, listAll } from './api.ts'
import { onEvent } from './feed.ts'

export interface OpenRun {
  readonly id: string
  readonly details: RunDetails | undefined
  readonly snapshot: RunSnapshot | undefined
  readonly machine: MachineDescription | undefined
  /** Why there is no machine to draw. */
  readonly machineError: string | undefined
  readonly transcript: readonly TranscriptMessage[] | undefined
  readonly error: ApiError | undefined
  readonly cut: readonly CutText[]
}

const AGAIN_MS = 200

const empty = (id: string): OpenRun => ({
  id,
  details: undefined,
  snapshot: undefined,
  machine: undefined,
  machineError: undefined,
  transcript: undefined,
  error: undefined,
  cut: [],
})

export const openRun = signal<OpenRun>(empty(''))
/** Whether long texts are asked for as a whole. */
export const isWhole = signal(false)
/** States that were seen while the page looked on, oldest first, without the same one twice in a row. */
export const seenStates = signal<readonly { readonly at: number; readonly value: unknown }[]>([])

let wanted = ''
let isLoading = false
let isStale = false

/** Opens a run, or closes it with an empty id. */
export function showRun(id: string): void {
  if (wanted === id) return
  wanted = id
  openRun.value = empty(id)
  isWhole.value = false
  seenStates.value = []
  if (id !== '') void reload()
}

export function showWhole(): void {
  isWhole.value = true
  void reload()
}

export async function reload(): Promise<void> {
  isStale = true
  if (isLoading) return
  isLoading = true
  try {
    while (isStale && wanted !== '') {
      isStale = false
      const id = wanted
      const loaded = await load(id)
      if (wanted === id) show(loaded)
      else isStale = true
      if (!isStale) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
    }
  } finally {
    isLoading = false
  }
}

function show(loaded: OpenRun): void {
  const before = openRun.value
  // What was known stays when the store is out of reach for a while.
  openRun.value =
    loaded.details === undefined && loaded.error?.code !== 'RUN_NOT_FOUND' && before.details !== undefined
      ? { ...before, error: loaded.error }
      : loaded
  const value = loaded.snapshot?.state
  if (value === undefined) return
  const last = seenStates.value.at(-1)
  if (JSON.stringify(last?.value) !== JSON.stringify(value)) seenStates.value = [...seenStates.value, { at: Date.now(), value }]
}

async function load(id: string): Promise<OpenRun> {
  const whole = isWhole.value
  try {
    const details = await ask('run', [id], { whole })
    const [snapshot, machine, transcript] = await Promise.all([
      ask('snapshot', [id], { whole }),
      details.value.kind === 'flow' ? undefined : loadMachine(id),
      listAll('transcript', [id], { whole }),
    ])
    return {
      id,
      details: details.value,
      snapshot: snapshot.value,
      machine: machine?.machine,
      machineError: machine?.error,
      transcript: transcript.value,
      error: undefined,
      cut: [...details.cut, ...transcript.cut, ...snapshot.cut],
    }
  } catch (error) {
    return { ...empty(id), error: error instanceof ApiError ? error : new ApiError(String(error)) }
  }
}

let lastMachine: { readonly id: string; readonly machine: MachineDescription } | undefined

async function loadMachine(id: string): Promise<{ readonly machine?: MachineDescription; readonly error?: string }> {
  if (lastMachine?.id === id) return { machine: lastMachine.machine }
  try {
    const { value } = await ask('machine', [id])
    if (value === undefined) return {}
    lastMachine = { id, machine: value }
    return { machine: value }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

onEvent((event) => {
  if (wanted === '') return
  if (event === undefined) lastMachine = undefined // another process may have another version
  if (event === undefined || event.runId === wanted || event.runId.startsWith(`${wanted}/`)) void reload()
})
