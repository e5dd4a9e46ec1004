/** All runs of the store, in memory: a page of them after the other is loaded, then those that events name are looked at again. */
import { computed, signal } from '@preact/signals'
import { tokensOf } from './amounts.ts'
import { list } from './api.ts'
import { onEvent } from './feed.ts'
import { isReadable, type Run, type Standing, toStanding } from './standing.ts'

const PAGE = 2_000
/** Runs that changed are looked at again this often at most, and so many at once. */
const REFRESH_MS = 300
const REFRESHED_AT_ONCE = 50

const byId = new Map<string, Run>()
const version = signal(0)

export const loading = signal<{ readonly isDone: boolean; readonly error: string | undefined }>({
  isDone: false,
  error: undefined,
})
export const runCount = computed(() => {
  version.value
  return byId.size
})

export const filter = signal<{
  readonly text: string
  readonly standing: Standing | ''
  readonly name: string
  readonly withinMs: number
  readonly minUsd: number
  readonly isTop: boolean
}>({ text: '', standing: '', name: '', withinMs: 0, minUsd: 0, isTop: true })

export const sortings = ['updated', 'cost', 'tokens', 'id'] as const
export const sorting = signal<(typeof sortings)[number]>('updated')

const updatedAt = (run: Run): number => (isReadable(run) ? run.updatedAt : Number.POSITIVE_INFINITY)
const costOf = (run: Run): number => (isReadable(run) ? run.spend.costUsd : 0)
const compare: Readonly<Record<(typeof sortings)[number], (a: Run, b: Run) => number>> = {
  updated: (a, b) => updatedAt(b) - updatedAt(a),
  cost: (a, b) => costOf(b) - costOf(a),
  tokens: (a, b) => (isReadable(b) ? tokensOf(b.spend) : 0) - (isReadable(a) ? tokensOf(a.spend) : 0),
  id: (a, b) => (a.id < b.id ? -1 : 1),
}

/** The names of machines, flows and agents, by how many runs they have. */
export const names = computed(() => {
  version.value
  const counts = new Map<string, number>()
  for (const run of byId.values()) if (isReadable(run)) counts.set(run.name, (counts.get(run.name) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])
})

/** How many runs stand where, of those that belong to no other. */
export const counts = computed(() => {
  version.value
  const found: Partial<Record<Standing, number>> = {}
  for (const run of byId.values()) {
    if (isReadable(run) && run.parent !== undefined && filter.value.isTop) continue
    const standing = toStanding(run)
    found[standing] = (found[standing] ?? 0) + 1
  }
  return found
})

export const shown = computed<readonly Run[]>(() => {
  version.value
  const { text, standing, name, withinMs, minUsd, isTop } = filter.value
  const words = text.toLowerCase().split(/\s+/).filter(Boolean)
  const since = withinMs === 0 ? 0 : Date.now() - withinMs
  const found = [...byId.values()].filter((run) => {
    if (standing !== '' && toStanding(run) !== standing) return false
    if (words.length > 0 && !words.every((word) => run.id.toLowerCase().includes(word))) return false
    if (!isReadable(run)) return name === '' && minUsd === 0
    if (isTop && run.parent !== undefined) return false
    if (name !== '' && run.name !== name) return false
    return run.updatedAt >= since && run.spend.costUsd >= minUsd
  })
  return found.sort(compare[sorting.value])
})

const SIMILAR = 50

/** Runs of the same name that are no part of it, those that changed last first. */
export function similarRuns(id: string, name: string): readonly string[] {
  const found = [...byId.values()].filter((run) => isReadable(run) && run.name === name && run.id !== id)
  return found
    .sort(compare.updated)
    .slice(0, SIMILAR)
    .map((run) => run.id)
}

let changedAt = 0
function changed(): void {
  changedAt = changedAt === 0 ? (setTimeout(flush, 100) as unknown as number) : changedAt // the DOM's, which is a number
}
function flush(): void {
  changedAt = 0
  version.value++
}

async function loadAll(): Promise<void> {
  loading.value = { isDone: false, error: undefined }
  const before = new Set(byId.keys())
  try {
    for (let after: string | undefined, isMore = true; isMore; ) {
      let count = 0
      for await (const run of list('runs', [{ limit: PAGE, ...(after === undefined ? {} : { after }) }])) {
        byId.set(run.id, run)
        before.delete(run.id)
        after = run.id
        count++
      }
      isMore = count === PAGE
      changed()
    }
    for (const id of before) byId.delete(id)
    loading.value = { isDone: true, error: undefined }
  } catch (error) {
    loading.value = { isDone: false, error: error instanceof Error ? error.message : String(error) }
  }
  changed()
}

const stale = new Set<string>()
let isRefreshing = false

async function refresh(): Promise<void> {
  if (isRefreshing) return
  isRefreshing = true
  try {
    while (stale.size > 0) {
      const ids = [...stale].slice(0, REFRESHED_AT_ONCE)
      const gone = new Set(ids)
      for (const id of ids) stale.delete(id)
      for await (const run of list('runs', [{ ids }])) {
        byId.set(run.id, run)
        gone.delete(run.id)
      }
      for (const id of gone) byId.delete(id)
      changed()
      await new Promise((resolve) => setTimeout(resolve, REFRESH_MS))
    }
  } catch {
    // The connection is shown to be away; all is loaded again when it is back.
  } finally {
    isRefreshing = false
  }
}

/** Looks at a run again, and at those that it belongs to. */
export function touchRun(id: string): void {
  const parts = id.split('/')
  for (let length = parts.length; length > 0; length--) {
    const each = parts.slice(0, length).join('/')
    if (length === parts.length || byId.has(each)) stale.add(each)
  }
  void refresh()
}

let isLoading = false
async function load(): Promise<void> {
  if (isLoading) return
  isLoading = true
  await loadAll()
  isLoading = false
}

export function openIndex(): void {
  void load()
  onEvent((event) => (event === undefined ? void load() : touchRun(event.runId)))
}
