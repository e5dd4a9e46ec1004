import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { countOf, toCost, toCount, tokensOf, toShortCount, toUsd } from './amounts.ts'
import { RunBadge } from './badge.tsx'
import { toRunHash } from './route.ts'
import { counts, filter, loading, names, runCount, shown, sorting, sortings } from './run-index.ts'
import { isReadable, type Run, standingNames, standings } from './standing.ts'
import { toStateText } from './state-text.ts'
import { OneLine, toVisible } from './text.tsx'
import { toAge, toDateTime } from './time.ts'

import { VirtualList } from './virtual-list.tsx'

const ages = [
  [0, 'Any age'],
  [3_600_000, 'Last hour'],
  [86_400_000, 'Last day'],
  [7 * 86_400_000, 'Last week'],
] as const
const costs = [0, 0.01, 0.1, 1, 10] as const
const sortingNames: Readonly<Record<(typeof sortings)[number], string>> = {
  updated: 'Newest first',
  cost: 'Cost',
  tokens: 'Tokens',
  id: 'Id',
}

const ROW = 56

export function RunsView({ current }: { readonly current: string | undefined }) {
  const focused = useSignal(0)
  const runs = shown.value
  useEffect(() => {
    document.title = 'Runs · Perdure'
  }, [])
  return (
    <section class="runs" aria-label="Runs">
      <Filters />
      <p class="runs-count quiet" role="status">
        {loading.value.error ?? toCountText(runs.length)}
      </p>
      {runs.length === 0 && loading.value.isDone ? (
        <Nothing />
      ) : (
        <VirtualList
          items={runs}
          rowHeight={ROW}
          label="Runs"
          focused={Math.min(focused.value, Math.max(0, runs.length - 1))}
          onFocus={(index) => {
            focused.value = index
          }}
        >
          {(run, _, isFocused) => <Row run={run} isCurrent={run.id === current} isFocused={isFocused} />}
        </VirtualList>
      )}
    </section>
  )
}

function toCountText(count: number): string {
  const { isDone } = loading.value
  const all = runCount.value
  if (!isDone) return `Loading… ${countOf(all, 'run')} so far`
  return count === all ? countOf(all, 'run') : `${toCount(count)} of ${countOf(all, 'run')}`
}

function Filters() {
  const set = (change: Partial<typeof filter.value>): void => {
    filter.value = { ...filter.value, ...change }
  }
  const { text, standing, name, withinMs, minUsd, isTop } = filter.value
  return (
    <search class="filters">
      <input
        id="search"
        type="search"
        class="search"
        placeholder="Search by id"
        aria-label="Search by id"
        aria-keyshortcuts="/"
        value={text}
        onInput={({ currentTarget }) => set({ text: currentTarget.value })}
      />
      <select
        aria-label="Status"
        value={standing}
        onChange={({ currentTarget }) => set({ standing: standings.find((each) => each === currentTarget.value) ?? '' })}
      >
        <option value="">Any status</option>
        {standings.map((each) => (
          <option key={each} value={each}>
            {standingNames[each]} ({toCount(counts.value[each] ?? 0)})
          </option>
        ))}
      </select>
      <select
        aria-label="Machine, flow or agent"
        value={name}
        onChange={({ currentTarget }) => set({ name: currentTarget.value })}
      >
        <option value="">Any name</option>
        {names.value.slice(0, 200).map(([each, count]) => (
          <option key={each} value={each}>
            {toVisible(each)} ({toCount(count)})
          </option>
        ))}
      </select>
      <select aria-label="Age" value={withinMs} onChange={({ currentTarget }) => set({ withinMs: Number(currentTarget.value) })}>
        {ages.map(([ms, label]) => (
          <option key={ms} value={ms}>
            {label}
          </option>
        ))}
      </select>
      <select aria-label="Cost" value={minUsd} onChange={({ currentTarget }) => set({ minUsd: Number(currentTarget.value) })}>
        {costs.map((usd) => (
          <option key={usd} value={usd}>
            {usd === 0 ? 'Any cost' : `${toUsd(usd)} or more`}
          </option>
        ))}
      </select>
      <select
        aria-label="Order"
        value={sorting.value}
        onChange={({ currentTarget }) => {
          sorting.value = sortings.find((each) => each === currentTarget.value) ?? 'updated'
        }}
      >
        {sortings.map((each) => (
          <option key={each} value={each}>
            {sortingNames[each]}
          </option>
        ))}
      </select>
      <label class="check">
        <input type="checkbox" checked={!isTop} onChange={({ currentTarget }) => set({ isTop: !currentTarget.checked })} />
        Runs within runs
      </label>
    </search>
  )
}

function Row({ run, isCurrent, isFocused }: { readonly run: Run; readonly isCurrent: boolean; readonly isFocused: boolean }) {
  return (
    <a class="run-row" href={toRunHash(run.id)} tabIndex={isFocused ? 0 : -1} aria-current={isCurrent ? 'true' : undefined}>
      <span class="run-row-id">{toVisible(run.id)}</span>
      <RunBadge run={run} />
      <span class="run-row-what quiet">
        <OneLine text={toWhat(run)} />
      </span>
      {isReadable(run) && (
        <>
          <span class="run-row-spend number quiet">
            {[tokensOf(run.spend) > 0 ? `${toShortCount(tokensOf(run.spend))} tok` : '', toCost(run.spend)]
              .filter(Boolean)
              .join(' · ')}
          </span>
          <time class="run-row-age number quiet" title={toDateTime(run.updatedAt)}>
            {toAge(run.updatedAt)}
          </time>
        </>
      )}
    </a>
  )
}

function toWhat(run: Run): string {
  if (!isReadable(run)) return run.error.message
  const state = run.state === undefined ? '' : toStateText(run.state)
  if (run.error !== undefined) return run.error.message
  if (run.waitsFor === undefined) return state === '' ? run.name : `${run.name} · ${state}`
  return [state, run.waitsFor.startsWith('until ') ? `until ${toDateTime(Date.parse(run.waitsFor.slice(6)))}` : run.waitsFor]
    .filter(Boolean)
    .join(' · ')
}

function Nothing() {
  return runCount.value === 0 ? (
    <div class="empty">
      <h2>No runs yet</h2>
      <p>They appear here as soon as the app starts one.</p>
    </div>
  ) : (
    <div class="empty">
      <h2>No run is like this</h2>
      <button
        type="button"
        onClick={() => {
          filter.value = { text: '', standing: '', name: '', withinMs: 0, minUsd: 0, isTop: false }
        }}
      >
        Show all runs
      </button>
    </div>
  )
}
