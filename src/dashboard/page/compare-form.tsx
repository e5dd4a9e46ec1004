import { useRef, useState } from 'preact/hooks'
import type { RunDetails } from '../../management/management.ts'
import { go, toCompareHash } from './route.ts'
import { similarRuns } from './run-index.ts'
import { toVisible } from './text.tsx'

/** Asks which run this one is to be seen beside. */
export function CompareForm({ details: { id, name, forkedFrom } }: { readonly details: RunDetails }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [other, setOther] = useState('')
  const choices = [...new Set([...(forkedFrom === undefined ? [] : [forkedFrom.run]), ...similarRuns(id, name)])]
  return (
    <>
      <button
        type="button"
        onClick={() => {
          setOther(choices[0] ?? '')
          dialog.current?.showModal()
        }}
      >
        Compare…
      </button>
      <dialog ref={dialog} class="dialog" aria-labelledby="compare-title">
        <form
          onSubmit={(event) => {
            event.preventDefault()
            dialog.current?.close()
            go(toCompareHash(other, id))
          }}
        >
          <h2 id="compare-title">Compare with another run</h2>
          <label class="field">
            <span class="field-label">Run</span>
            <input list="compare-runs" required value={other} onInput={({ currentTarget }) => setOther(currentTarget.value)} />
            <datalist id="compare-runs">
              {choices.map((each) => (
                <option key={each} value={each} />
              ))}
            </datalist>
          </label>
          {forkedFrom !== undefined && (
            <p class="quiet">
              It was forked from {toVisible(forkedFrom.run)}, at turn {forkedFrom.turn}.
            </p>
          )}
          <div class="buttons">
            <button type="submit" class="primary">
              Compare
            </button>
            <button type="button" onClick={() => dialog.current?.close()}>
              Close
            </button>
          </div>
        </form>
      </dialog>
    </>
  )
}
