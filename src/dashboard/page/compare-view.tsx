/** Two runs beside each other: what is the same, what is another, and what it cost. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import type { CallDiff, Pair, RunDiff, RunFigures, TurnDiff } from '../../replay/diff-runs.ts'
import { countOf, toCost, tokensOf, toShortCount } from './amounts.ts'
import { ask } from './api.ts'
import { onEvent } from './feed.ts'
import { toCompareHash, toRunHash } from './route.ts'
import { toVisible } from './text.tsx'
import { toDuration } from './time.ts'
import { Arguments, Value } from './value.tsx'

interface Props {
  readonly a: string
  readonly b: string
}

export function CompareView({ a, b }: Props) {
  const { diff, error } = useDiff(a, b)
  useEffect(() => {
    document.title = `${a} and ${b} · Perdure`
  }, [a, b])
  return (
    <section class="run compare" aria-label={`${a} and ${b}`}>
      <nav class="crumbs" aria-label="Where this is">
        <a href="#/">Runs</a>
        <span aria-hidden="true"> / </span>
        Compare
      </nav>
      <header class="run-head">
        <h1>
          {toVisible(a)} and {toVisible(b)}
        </h1>
        <p class="compare-sides">
          <a href={toCompareHash(b, a)} class="button">
            Exchange
          </a>
        </p>
      </header>
      {error !== undefined && (
        <div class="empty">
          <h2>They cannot be compared</h2>
          <p>{error}</p>
        </div>
      )}
      {diff === undefined && error === undefined && <p class="quiet loading">Loading…</p>}
      {diff !== undefined && <Runs diff={diff} />}
    </section>
  )
}

/** Asked for again when one of them has changed. */
function useDiff(a: string, b: string): { readonly diff: RunDiff | undefined; readonly error: string | undefined } {
  const diff = useSignal<RunDiff | undefined>(undefined)
  const error = useSignal<string | undefined>(undefined)
  useEffect(() => {
    let isGone = false
    let isLoading = false
    let isStale = true
    const load = async (): Promise<void> => {
      if (isLoading) return
      isLoading = true
      while (isStale && !isGone) {
        isStale = false
        try {
          const { value } = await ask('diff', [a, b])
          if (!isGone) diff.value = value
          error.value = undefined
        } catch (thrown) {
          if (!isGone && diff.value === undefined) error.value = thrown instanceof Error ? thrown.message : String(thrown)
        }
      }
      isLoading = false
    }
    diff.value = undefined
    error.value = undefined
    void load()
    const isOf = (id: string, run: string): boolean => id === run || id.startsWith(`${run}/`)
    const leave = onEvent((event) => {
      if (event !== undefined && !isOf(event.runId, a) && !isOf(event.runId, b)) return
      isStale = true
      void load()
    })
    return () => {
      isGone = true
      leave()
    }
  }, [a, b])
  return { diff: diff.value, error: error.value }
}

function Runs({ diff }: { readonly diff: RunDiff }) {
  const { a, b, turns, steps, within, change } = diff
  const all = [diff, ...within]
  const changes = all.flatMap((each) => [...each.turns.flatMap(({ calls }) => calls), ...each.steps]).filter(isOther).length
  return (
    <>
      <p class="compare-verdict" data-change={change === 'same' ? 'same' : 'changed'} role="status">
        {change === 'same'
          ? 'They came to the same in the same way.'
          : `${countOf(changes, 'call differs', 'calls differ')}${toParts(diff)}.`}
      </p>
      <Figures a={a} b={b} />
      <Body turns={turns} steps={steps} a={a} b={b} />
      {within.map((each) => (
        <details key={each.a?.id ?? each.b?.id} class="compare-within" open={isOther(each)}>
          <summary>
            <Change pair={each} /> {toVisible(each.a?.id ?? '')}{' '}
            {each.b !== undefined && each.b.id !== each.a?.id && toVisible(each.b.id)}
          </summary>
          <Body turns={each.turns} steps={each.steps} a={each.a} b={each.b} />
        </details>
      ))}
    </>
  )
}

const isOther = ({ change }: Pair<unknown>): boolean => change !== 'same'
const toParts = ({ changed }: Pair<unknown>): string => (changed.length === 0 ? '' : `; another ${changed.join(', ')}`)

type Figure = readonly [name: string, read: (run: RunFigures) => string]
const figures: readonly Figure[] = [
  ['status', ({ status }) => status],
  ['turns', ({ turns }) => String(turns)],
  ['calls', ({ spend }) => `${spend.modelCalls} model, ${spend.toolCalls} tool`],
  ['tokens', ({ spend }) => toShortCount(tokensOf(spend))],
  ['cost', ({ spend }) => toCost(spend) || '$0'],
  ['time of calls', ({ spend }) => toDuration(spend.durationMs)],
]

const Figures = ({ a, b }: { readonly a: RunFigures | undefined; readonly b: RunFigures | undefined }) => (
  <table class="compare-figures">
    <thead>
      <tr>
        <td />
        {[a, b].map((run, index) => (
          <th key={index} scope="col">
            {run === undefined ? 'nothing' : <a href={toRunHash(run.id)}>{toVisible(run.id)}</a>}
          </th>
        ))}
      </tr>
    </thead>
    <tbody>
      {figures.map(([name, read]) => {
        const [left, right] = [a && read(a), b && read(b)]
        return (
          <tr key={name} data-other={left !== right}>
            <th scope="row">{name}</th>
            <td>{left}</td>
            <td>{right}</td>
          </tr>
        )
      })}
    </tbody>
  </table>
)

function Body({
  turns,
  steps,
  a,
  b,
}: {
  readonly turns: readonly TurnDiff[]
  readonly steps: readonly CallDiff[]
  readonly a: RunFigures | undefined
  readonly b: RunFigures | undefined
}) {
  return (
    <>
      {turns.map((turn, index) => (
        <Turn key={index} turn={turn} />
      ))}
      {steps.length > 0 && (
        <section class="compare-turn" aria-label="Steps">
          {steps.map((call, index) => (
            <Call key={index} call={call} />
          ))}
        </section>
      )}
      {turns.length === 0 && (
        <Sides title="result" isOther={JSON.stringify(a?.result) !== JSON.stringify(b?.result)}>
          {a && <Value value={a.result} open={2} />}
          {b && <Value value={b.result} open={2} />}
        </Sides>
      )}
    </>
  )
}

function Turn({ turn }: { readonly turn: TurnDiff }) {
  const { a, b, calls, changed } = turn
  const number = a?.turn ?? b?.turn
  return (
    <section class="compare-turn" aria-label={`Turn ${number}`}>
      <h2>
        Turn {number} <Change pair={turn} />
      </h2>
      <Sides title="prompt" isOther={a?.prompt !== b?.prompt}>
        {a && <Value value={a.prompt} />}
        {b && <Value value={b.prompt} />}
      </Sides>
      {changed.some((part) => part !== 'prompt' && part !== 'result' && part !== 'status') && (
        <p class="quiet">Asked with another {changed.filter((part) => part !== 'result' && part !== 'status').join(', ')}.</p>
      )}
      {calls.map((call, index) => (
        <Call key={index} call={call} />
      ))}
      <Sides title="answer" isOther={JSON.stringify(a?.result) !== JSON.stringify(b?.result)}>
        {a && <Value value={a.result} />}
        {b && <Value value={b.result} />}
      </Sides>
    </section>
  )
}

/** One line where they are the same. */
function Call({ call }: { readonly call: CallDiff }) {
  const { a, b } = call
  const [one] = [a, b].filter((each) => each !== undefined)
  if (one === undefined) return null
  return (
    <details class="compare-call" open={isOther(call) && call.changed.some((part) => part === 'arguments' || part === 'result')}>
      <summary>
        <span class="mono">{toVisible(one.name)}</span> <span class="quiet">{one.kind}</span> <Change pair={call} />
      </summary>
      {(a?.arguments ?? b?.arguments) !== undefined && (
        <Sides title="arguments" isOther={a?.arguments !== b?.arguments}>
          {a?.arguments !== undefined && <Arguments text={a.arguments} />}
          {b?.arguments !== undefined && <Arguments text={b.arguments} />}
        </Sides>
      )}
      <Sides title="result" isOther={JSON.stringify(a?.result) !== JSON.stringify(b?.result)}>
        {a && <Value value={a.result} />}
        {b && <Value value={b.result} />}
      </Sides>
    </details>
  )
}

const changeNames = { same: 'the same', changed: 'differs', removed: 'only left', added: 'only right' } as const

const Change = ({ pair }: { readonly pair: Pair<unknown> }) => (
  <span class="compare-change" data-change={pair.change}>
    {changeNames[pair.change]}
    {pair.change === 'changed' && pair.changed.length > 0 && `: ${pair.changed.join(', ')}`}
  </span>
)

/** Beside each other where they differ, once where not. */
function Sides({
  title,
  isOther,
  children,
}: {
  readonly title: string
  readonly isOther: boolean
  readonly children: readonly [left: ComponentChildren, right: ComponentChildren]
}) {
  const [left, right] = children
  if (!isOther)
    return (
      <div class="compare-same">
        <span class="said-by">{title}</span>
        {left}
      </div>
    )
  return (
    <div class="compare-pair">
      {[left, right].map((side, index) => (
        <div key={index} class="compare-side" data-side={index === 0 ? 'left' : 'right'}>
          <span class="said-by">
            {title}, {index === 0 ? 'left' : 'right'}
          </span>
          {side ?? <span class="value-none">nothing</span>}
        </div>
      ))}
    </div>
  )
}
