import { useMemo, useState } from 'preact/hooks'
import type { ActorReference, MachineDescription, StateDescription } from '../../runtime/machine-description.ts'
import { toActiveStates } from './accepted-events.ts'
import { Chart } from './chart.tsx'
import { toEventText } from './chart-graph.ts'
import { type OpenRun, seenStates } from './run-store.ts'
import { toStateText } from './state-text.ts'
import { toVisible } from './text.tsx'
import { toDateTime } from './time.ts'

/** An actor of the run that is a machine: the run itself, or one that it has as a child. */
interface Actor {
  readonly path: readonly string[]
  readonly machine: StateDescription
  readonly value: unknown
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null

export function ChartTab({ run: { machine, machineError, snapshot, details } }: { readonly run: OpenRun }) {
  const actors = useMemo(() => (machine === undefined ? [] : toActors(machine, snapshot)), [machine, snapshot])
  const [chosen, setChosen] = useState('')
  const [selected, setSelected] = useState<string | undefined>(undefined)
  const actor = actors.find(({ path }) => path.join('/') === chosen) ?? actors[0]
  if (actor === undefined)
    return (
      <div class="empty">
        <h2>Its chart is not known here</h2>
        <p>{machineError ?? 'There is no machine to draw.'}</p>
        <p class="quiet">
          The process that has the store open has to have the machine among its `machines`; `perdure dashboard --app` names a
          module of them.
        </p>
      </div>
    )
  const isEnded = details !== undefined && details.endedAt !== undefined && details.kind === 'machine'
  const active = toActiveStates(actor.machine, actor.value)
  const state = selected === undefined ? undefined : findState(actor.machine, selected)
  const seen = chosen === '' || actor === actors[0] ? seenStates.value : []
  return (
    <div class="chart-tab">
      {actors.length > 1 && (
        <div class="segments" role="group" aria-label="Actors">
          {actors.map(({ path }) => (
            <button
              key={path.join('/')}
              type="button"
              aria-pressed={path === actor.path}
              onClick={() => {
                setChosen(path.join('/'))
                setSelected(undefined)
              }}
            >
              {toVisible(path.at(-1) ?? machine?.root ?? '')}
            </button>
          ))}
        </div>
      )}
      <p class="quiet">
        {isEnded ? 'It ended in' : 'It is in'}{' '}
        <strong class="mono">{toVisible(toStateText(actor.value)) || 'its first state'}</strong>
      </p>
      <Chart
        machine={actor.machine}
        active={active}
        seen={seen.map(({ value }) => value)}
        selected={selected}
        onSelect={setSelected}
      />
      {seen.length > 1 && (
        <section class="path" aria-label="The path it took">
          <h3>The path it took while you watched</h3>
          <ol class="path-list">
            {seen.map(({ at, value }) => (
              <li key={at} title={toDateTime(at)}>
                <span class="mono">{toVisible(toStateText(value))}</span>
              </li>
            ))}
          </ol>
        </section>
      )}
      {state !== undefined && (
        <StatePanel
          state={state}
          isActive={active.has(state)}
          onActor={({ id }) => setChosen([...actor.path, id].join('/'))}
          actors={actors}
          path={actor.path}
        />
      )}
    </div>
  )
}

function StatePanel(props: {
  readonly state: StateDescription
  readonly isActive: boolean
  readonly onActor: (actor: ActorReference) => void
  readonly actors: readonly Actor[]
  readonly path: readonly string[]
}) {
  const { state, isActive, onActor, actors, path } = props
  const { key, type, description, tags, transitions, invokes } = state
  return (
    <section class="panel" aria-label={`State ${key}`}>
      <h3>
        <span class="mono">{toVisible(key)}</span> <span class="quiet">{type}</span>{' '}
        {isActive && (
          <span class="badge" data-standing="running">
            active
          </span>
        )}
      </h3>
      {description !== undefined && <p>{toVisible(description)}</p>}
      {tags.length > 0 && <p class="quiet">Tags: {tags.join(', ')}</p>}
      {invokes.length > 0 && (
        <p>
          Invokes{' '}
          {invokes.map((actor) =>
            actors.some((each) => each.path.join('/') === [...path, actor.id].join('/')) ? (
              <button key={actor.id} type="button" class="link mono" onClick={() => onActor(actor)}>
                {actor.id}
              </button>
            ) : (
              <span key={actor.id} class="mono">
                {actor.src === actor.id || actor.src === 'inline' ? actor.id : `${actor.id} (${actor.src})`}{' '}
              </span>
            ),
          )}
        </p>
      )}
      {transitions.length > 0 && (
        <ul class="plain transitions">
          {transitions.map((transition, index) => (
            <li key={index}>
              <strong class="mono">{toEventText(transition)}</strong>
              {transition.guard !== undefined && <span class="quiet"> if {transition.guard}</span>}
              {transition.targets.length > 0 && (
                <span> → {transition.targets.map((target) => target.slice(target.indexOf('.') + 1)).join(', ')}</span>
              )}
              {transition.actions.length > 0 && <span class="quiet"> does {transition.actions.join(', ')}</span>}
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function findState(state: StateDescription, id: string): StateDescription | undefined {
  if (state.id === id) return state
  for (const child of state.states) {
    const found = findState(child, id)
    if (found !== undefined) return found
  }
  return undefined
}

function* walkInvokes({ invokes, states }: StateDescription): Generator<ActorReference> {
  yield* invokes
  for (const state of states) yield* walkInvokes(state)
}

/** The machine of the run, and those of its children that are machines. */
function toActors({ root, machines }: MachineDescription, snapshot: OpenRun['snapshot']): readonly Actor[] {
  const actors: Actor[] = []
  const add = (key: string, value: unknown, children: unknown, path: readonly string[]): void => {
    const machine = machines[key]
    if (machine === undefined) return
    actors.push({ path, machine, value })
    if (!isObject(children)) return
    for (const { id, machine: inner } of walkInvokes(machine)) {
      const child = children[id]
      if (inner === undefined || !isObject(child)) continue
      const stored = isObject(child.snapshot) ? child.snapshot : child
      add(inner, stored.value, stored.children, [...path, id])
    }
  }
  add(root, snapshot?.state, snapshot?.children, [])
  return actors
}
