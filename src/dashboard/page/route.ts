import { signal } from '@preact/signals'

export const tabs = ['overview', 'chart', 'transcript', 'cost', 'state', 'journal'] as const
export type Tab = (typeof tabs)[number]

export type Route =
  | { readonly view: 'runs' }
  | { readonly view: 'inbox' }
  | { readonly view: 'run'; readonly id: string; readonly tab: Tab }
  | { readonly view: 'compare'; readonly a: string; readonly b: string }

function parse(hash: string): Route {
  const [view, id, tab] = hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent)
  if (view === 'inbox') return { view }
  if (view === 'compare' && id !== undefined && tab !== undefined) return { view, a: id, b: tab }
  if (view !== 'run' || id === undefined || id === '') return { view: 'runs' }
  return { view, id, tab: tabs.find((each) => each === tab) ?? 'overview' }
}

function read(): Route {
  try {
    return parse(location.hash)
  } catch {
    return { view: 'runs' } // a hash that is no text
  }
}

export const route = signal<Route>(read())
addEventListener('hashchange', () => {
  route.value = read()
})

export const toRunHash = (id: string, tab?: Tab): string =>
  `#/run/${encodeURIComponent(id)}${tab === undefined || tab === 'overview' ? '' : `/${tab}`}`

export const toCompareHash = (a: string, b: string): string => `#/compare/${encodeURIComponent(a)}/${encodeURIComponent(b)}`

export function go(hash: string): void {
  location.hash = hash
}
