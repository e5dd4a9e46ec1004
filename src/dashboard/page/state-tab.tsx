import { useRef } from 'preact/hooks'
import type { RunDetails } from '../../management/management.ts'
import type { OpenRun } from './run-store.ts'
import { toStateText } from './state-text.ts'
import { toVisible } from './text.tsx'
import { toAge, toDateTime } from './time.ts'
import { Value } from './value.tsx'

/** The snapshot as it is on disk, and what changed in it while the page looked on. */
export function StateTab({ run: { snapshot }, details }: { readonly run: OpenRun; readonly details: RunDetails }) {
  const changes = useChanges(snapshot?.context)
  if (snapshot === undefined) return <p class="quiet empty">There is no snapshot.</p>
  const { state, context, timers, children } = snapshot
  return (
    <div class="state-tab">
      {state !== undefined && (
        <section class="panel" aria-label="State">
          <h3>State</h3>
          <p class="mono">{toVisible(toStateText(state)) || 'none'}</p>
          <p class="quiet">On disk since {toDateTime(details.updatedAt)}</p>
        </section>
      )}
      {timers.length > 0 && (
        <section class="panel" aria-label="Timers">
          <h3>Timers</h3>
          <ul class="plain">
            {timers.map(({ at, event }) => (
              <li key={`${at} ${event}`}>
                <span class="mono">{toVisible(event)}</span> <span class="quiet">{toAge(at)}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
      {changes.length > 0 && (
        <section class="panel" aria-label="What changed">
          <h3>What changed last</h3>
          <ul class="plain changes">
            {changes.map(({ path, before, after }) => (
              <li key={path}>
                <span class="mono value-name">{path}</span>
                <del class="mono">{toShort(before)}</del>
                <ins class="mono">{toShort(after)}</ins>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section class="panel" aria-label="Context">
        <h3>Context</h3>
        <Value value={context} open={2} />
      </section>
      {Object.keys(children).length > 0 && (
        <section class="panel" aria-label="Actors">
          <h3>Actors</h3>
          <Value value={children} open={1} />
        </section>
      )}
    </div>
  )
}

interface Change {
  readonly path: string
  readonly before: unknown
  readonly after: unknown
}

const MAX_CHANGES = 50

function useChanges(context: unknown): readonly Change[] {
  const last = useRef<{ context: unknown; changes: readonly Change[] }>({ context, changes: [] })
  const found = [...compare(last.current.context, context, '')]
  if (found.length > 0) last.current = { context, changes: found.slice(0, MAX_CHANGES) }
  return last.current.changes
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null

function* compare(before: unknown, after: unknown, path: string): Generator<Change> {
  if (Object.is(before, after)) return
  if (!isObject(before) || !isObject(after)) return yield { path: path || 'context', before, after }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
    yield* compare(before[key], after[key], path === '' ? key : `${path}.${key}`)
}

const toShort = (value: unknown): string => (value === undefined ? '' : toVisible(JSON.stringify(value).slice(0, 160)))
