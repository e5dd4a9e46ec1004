import { go, route } from './route.ts'

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.matches('input, textarea, select') || target.isContentEditable)

/** How long after `g` its letter may come. */
const CHORD_MS = 1_500

/** `/` searches, `g i` goes to the inbox, `g r` to the runs, Escape goes back. */
export function openKeyboard(): void {
  let chordAt = 0
  addEventListener('keydown', (event) => {
    const { key, target } = event
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]') !== null) return
    if (key === 'Escape') return leave(target)
    if (isTyping(target)) {
      if (key === 'ArrowDown' && target instanceof HTMLElement && target.id === 'search') focusRow()
      return
    }
    const isChord = event.timeStamp - chordAt < CHORD_MS
    chordAt = key === 'g' ? event.timeStamp : 0
    if (isChord && key === 'i') return go('#/inbox')
    if (isChord && key === 'r') return go('#/')
    if (key === '/') {
      event.preventDefault()
      if (route.value.view === 'inbox' || route.value.view === 'compare' || matchMedia('(width < 1000px)').matches) go('#/')
      requestAnimationFrame(() => document.querySelector<HTMLInputElement>('#search')?.focus())
    }
    if (key === 'ArrowDown' && document.activeElement === document.body) focusRow()
  })
}

const focusRow = (): void => document.querySelector<HTMLElement>('.virtual-row a[tabindex="0"]')?.focus()

function leave(target: EventTarget | null): void {
  if (isTyping(target) && target instanceof HTMLElement) target.blur()
  else if (route.value.view !== 'runs') go('#/')
}
