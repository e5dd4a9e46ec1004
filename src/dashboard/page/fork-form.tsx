import { useRef, useState } from 'preact/hooks'
import type { CallNode, RunDetails, TurnNode } from '../../management/management.ts'
import type { ForkOptions } from '../../runtime/fork-options.ts'
import { ask } from './api.ts'
import { type Deed, DeedError } from './deed.tsx'
import { walkCalls } from './flatten.ts'
import { go, toRunHash } from './route.ts'
import { toVisible } from './text.tsx'

/** Where in a turn it can be forked: before a request of the model, or before a tool call. */
interface Place {
  /** As `fork` takes it. */
  readonly call: string
  readonly text: string
  /** What the tool returned; undefined for a request. */
  readonly result: string | undefined
}

function toPlaces({ calls }: TurnNode): readonly Place[] {
  return [...walkCalls(calls)].flatMap(({ call }) => toPlace(call) ?? [])
}

function toPlace({ key, kind, name, result, isVoid }: CallNode): Place | undefined {
  const [, request = '', tool] = /\/m0*(\d+)(?:\/([^/]+))?$/.exec(key) ?? []
  if (request === '' || isVoid) return undefined
  if (kind === 'model') return { call: `m${request}`, text: `request ${request} of the model`, result: undefined }
  if (kind !== 'tool' || tool === undefined) return undefined
  const told = typeof result === 'string' ? result : JSON.stringify(result ?? '')
  return { call: `m${request}/${tool}`, text: `${name}, called by request ${request} of the model`, result: told }
}

/** A new conversation that begins with what came before a point of this one. */
export function ForkForm({ details, deed }: { readonly details: RunDetails; readonly deed: Deed }) {
  const { id, name, tree } = details
  const dialog = useRef<HTMLDialogElement>(null)
  const [number, setNumber] = useState(0)
  const [call, setCall] = useState('')
  const [prompt, setPrompt] = useState<string | undefined>(undefined)
  const [result, setResult] = useState<string | undefined>(undefined)
  const [systemPrompt, setSystemPrompt] = useState('')
  const [model, setModel] = useState('')
  const turn = tree.find((each) => each.turn === number) ?? tree.at(-1)
  if (turn === undefined) return null
  const places = toPlaces(turn)
  const place = places.find((each) => each.call === call)
  const begin = (at: number): void => {
    setNumber(at)
    setCall('')
    setPrompt(undefined)
    setResult(undefined)
  }
  const fork = async (): Promise<void> => {
    const options: ForkOptions = {
      at: place === undefined ? { turn: turn.turn } : { turn: turn.turn, call: place.call },
      ...(place === undefined && prompt !== undefined && prompt !== turn.prompt ? { prompt } : {}),
      ...(place?.result !== undefined && result !== undefined && result !== place.result ? { result } : {}),
      ...(systemPrompt === '' ? {} : { systemPrompt }),
      ...(model === '' ? {} : { model }),
    }
    let forked = ''
    const isDone = await deed.run(
      '',
      async () => {
        forked = (await ask('fork', [id, options])).value.id
      },
      'Forked.',
    )
    if (!isDone) return
    dialog.current?.close()
    go(toRunHash(forked))
  }
  return (
    <>
      <button
        type="button"
        title="Begins a new conversation with what came before a point of this one"
        onClick={() => {
          begin(tree.at(-1)?.turn ?? 0)
          dialog.current?.showModal()
        }}
      >
        Fork…
      </button>
      <dialog ref={dialog} class="dialog wide" aria-labelledby="fork-title">
        <form
          onSubmit={(event) => {
            event.preventDefault()
            void fork()
          }}
        >
          <h2 id="fork-title">Fork this conversation</h2>
          <p class="quiet">
            A new run begins with what came before this point, and goes another way from there. This one stays as it is. Nothing
            is asked of a model before your app goes on with it: <code>session(…).resume()</code> of {toVisible(name)}.
          </p>
          <div class="field-row">
            <label class="field">
              <span class="field-label">Turn</span>
              <select value={turn.turn} onChange={({ currentTarget }) => begin(Number(currentTarget.value))}>
                {tree.map((each) => (
                  <option key={each.turn} value={each.turn}>
                    {each.turn}
                    {each.prompt === undefined ? '' : `: ${toVisible(each.prompt.slice(0, 60))}`}
                  </option>
                ))}
              </select>
            </label>
            <label class="field">
              <span class="field-label">From</span>
              <select
                value={call}
                onChange={({ currentTarget }) => {
                  setCall(currentTarget.value)
                  setResult(undefined)
                }}
              >
                <option value="">its beginning</option>
                {places.map((each) => (
                  <option key={each.call} value={each.call}>
                    {toVisible(each.text)}
                  </option>
                ))}
              </select>
            </label>
          </div>
          {place === undefined && (
            <label class="field">
              <span class="field-label">Prompt</span>
              <textarea
                rows={4}
                required
                value={prompt ?? turn.prompt ?? ''}
                onInput={({ currentTarget }) => setPrompt(currentTarget.value)}
              />
            </label>
          )}
          {place?.result !== undefined && (
            <label class="field">
              <span class="field-label">What the tool returned</span>
              <textarea rows={4} value={result ?? place.result} onInput={({ currentTarget }) => setResult(currentTarget.value)} />
              <span class="quiet">Left as it is, the tool is executed again.</span>
            </label>
          )}
          <label class="field">
            <span class="field-label">
              System prompt<span class="quiet"> empty: as it is</span>
            </span>
            <textarea rows={2} value={systemPrompt} onInput={({ currentTarget }) => setSystemPrompt(currentTarget.value)} />
          </label>
          <label class="field">
            <span class="field-label">
              Model<span class="quiet"> empty: as it is</span>
            </span>
            <input value={model} onInput={({ currentTarget }) => setModel(currentTarget.value)} />
          </label>
          <DeedError deed={deed} />
          <div class="buttons">
            <button type="submit" class="primary" disabled={deed.isBusy}>
              Fork
            </button>
            <button type="button" onClick={() => dialog.current?.close()}>
              Close
            </button>
          </div>
        </form>
      </dialog>
    </>
  )
}
