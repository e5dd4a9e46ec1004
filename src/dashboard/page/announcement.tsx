import { signal } from '@preact/signals'

const SHOWN_MS = 4_000
const said = signal('')
let timer = 0

/** Says what was done, also to a screen reader. */
export function announce(text: string): void {
  said.value = text
  window.clearTimeout(timer)
  timer = window.setTimeout(() => {
    said.value = ''
  }, SHOWN_MS)
}

export const Announcement = () => (
  <div class="announcement" role="status" data-said={said.value !== ''}>
    {said}
  </div>
)
