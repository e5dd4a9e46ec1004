import { useState } from 'preact/hooks'
import { toCount } from './amounts.ts'

/** Characters that act on a terminal or change the direction of what follows; a line break and a tab do not. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g

/** A text that somebody else wrote, with what cannot be seen in it made visible. */
export const toVisible = (text: string): string =>
  text
    .replace(/\r\n/g, '\n')
    .replace(HIDDEN, (character) => `⟨U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`)

const FOLDED_LENGTH = 1_600
const FOLDED_LINES = 24

/** A text of any length: folded where it is long. */
export function Text({ text, mono = false }: { readonly text: string; readonly mono?: boolean }) {
  const [isOpen, setOpen] = useState(false)
  const folded = isOpen ? text : fold(text)
  const isFolded = folded.length < text.length
  return (
    <>
      <span class={mono ? 'text mono' : 'text'}>{toVisible(folded)}</span>
      {(isFolded || isOpen) && text.length > fold(text).length && (
        <button type="button" class="link more" onClick={() => setOpen(!isOpen)}>
          {isOpen ? 'Show less' : `Show all ${toCount(text.length)} characters`}
        </button>
      )}
    </>
  )
}

function fold(text: string): string {
  const start = text.slice(0, FOLDED_LENGTH)
  const lines = start.split('\n')
  return lines.length > FOLDED_LINES ? lines.slice(0, FOLDED_LINES).join('\n') : start
}

/** In one line, cut by its style. */
export const OneLine = ({ text }: { readonly text: string }) => (
  <span class="one-line">{toVisible(text.slice(0, 400).replace(/\s+/g, ' '))}</span>
)
