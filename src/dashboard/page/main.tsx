import { signal } from '@preact/signals'
import { render } from 'preact'
import { useEffect } from 'preact/hooks'
import type { StoreInfo } from '../../management/management.ts'
import { Announcement } from './announcement.tsx'
import { ask } from './api.ts'
import { CompareView } from './compare-view.tsx'
import { connection, onEvent, openFeed } from './feed.ts'
import { Inbox, inbox, openInbox } from './inbox.tsx'
import { openKeyboard } from './keyboard.ts'
import { route } from './route.ts'
import { openIndex } from './run-index.ts'
import { RunView } from './run-view.tsx'
import { RunsView } from './runs-view.tsx'
import { type Theme, theme } from './theme.ts'

const info = signal<StoreInfo | undefined>(undefined)

async function loadInfo(): Promise<void> {
  try {
    info.value = (await ask('info', [])).value
  } catch {
    // What is away is said by the connection.
  }
}

function App() {
  const at = route.value
  useEffect(() => {
    document.querySelector<HTMLElement>('main')?.scrollTo(0, 0)
  }, [at.view])
  return (
    <div class="app" data-view={at.view}>
      <button type="button" class="skip" onClick={focusMain}>
        Skip to the content
      </button>
      <Header />
      <Away />
      <div class="columns">
        {(at.view === 'runs' || at.view === 'run') && (
          <aside class="side" aria-label="All runs">
            <RunsView current={at.view === 'run' ? at.id : undefined} />
          </aside>
        )}
        {at.view !== 'runs' && (
          <main id="main" tabIndex={-1}>
            {at.view === 'run' && <RunView id={at.id} tab={at.tab} />}
            {at.view === 'compare' && <CompareView a={at.a} b={at.b} />}
            {at.view === 'inbox' && <Inbox />}
          </main>
        )}
      </div>
      <Announcement />
    </div>
  )
}

function focusMain(): void {
  const place = document.querySelector<HTMLElement>('main') ?? document.querySelector<HTMLElement>('.side a')
  place?.focus()
}

function Header() {
  const waiting = inbox.value?.length ?? 0
  const view = route.value.view
  return (
    <header class="top">
      <a class="brand" href="#/">
        Perdure
      </a>
      <nav aria-label="Main" class="top-nav">
        <a href="#/" aria-current={view === 'inbox' ? undefined : 'page'}>
          Runs
        </a>
        <a href="#/inbox" aria-current={view === 'inbox' ? 'page' : undefined}>
          Inbox{waiting > 0 && <span class="count">{waiting}</span>}
        </a>
      </nav>
      <Store />
      <ThemeSwitch />
    </header>
  )
}

const connectionNames = { live: 'live', away: 'its process ended', lost: 'not connected' } as const

function Store() {
  const store = info.value
  return (
    <div
      class="store"
      title={
        store === undefined
          ? undefined
          : `${store.directory}, open in process ${store.owner.pid}, perdure ${store.version}, Node.js ${store.node}`
      }
    >
      <span class="store-name mono">{store?.directory.split(/[\\/]/).slice(-2).join('/')}</span>
      <span class="live" data-connection={connection.value} role="status">
        {connectionNames[connection.value]}
      </span>
    </div>
  )
}

function Away() {
  if (connection.value === 'live') return null
  if (connection.value === 'lost')
    return info.value === undefined ? null : (
      <p class="banner" role="alert">
        The dashboard does not answer. Start <code>perdure dashboard</code> again, and open the address that it prints.
      </p>
    )
  return (
    <p class="banner" role="alert">
      The process that had the store open ended. What it had acknowledged is on disk; this page goes on when the app is started
      again.
    </p>
  )
}

const themes = ['system', 'light', 'dark'] as const satisfies readonly Theme[]
const themeGlyphs = { system: '◐', light: '☀', dark: '☾' } as const

const ThemeSwitch = () => (
  <div class="segments theme" role="group" aria-label="Theme">
    {themes.map((each) => (
      <button
        key={each}
        type="button"
        aria-pressed={theme.value === each}
        aria-label={`Theme: ${each}`}
        title={each}
        onClick={() => {
          theme.value = each
        }}
      >
        <span aria-hidden="true">{themeGlyphs[each]}</span>
      </button>
    ))}
  </div>
)

openFeed()
openIndex()
openInbox()
openKeyboard()
void loadInfo()
onEvent((event) => {
  if (event === undefined) void loadInfo()
})
render(<App />, document.body)
