import { useId, useState } from 'preact/hooks'
import type { HandOutcome } from '../../runtime/hand-settlement.ts'
import { JsonField } from './schema-form.tsx'

/** What a person says that a step in doubt came to. */
export function OutcomeForm({
  isBusy,
  onOutcome,
}: {
  readonly isBusy: boolean
  readonly onOutcome: (outcome: HandOutcome) => void
}) {
  const id = useId()
  const [isError, setError] = useState(false)
  const [result, setResult] = useState<unknown>(undefined)
  const [error, setErrorText] = useState('')
  return (
    <div class="outcome">
      <div class="segments" role="group" aria-label="What it came to">
        <button type="button" aria-pressed={!isError} onClick={() => setError(false)}>
          It happened
        </button>
        <button type="button" aria-pressed={isError} onClick={() => setError(true)}>
          It failed
        </button>
      </div>
      {isError ? (
        <div class="field">
          <label for={id}>What it failed with</label>
          <textarea id={id} rows={2} value={error} onInput={({ currentTarget }) => setErrorText(currentTarget.value)} />
        </div>
      ) : (
        <div class="field">
          <label for={id}>What it returned, as JSON</label>
          <JsonField id={id} value={result} onChange={setResult} />
        </div>
      )}
      <div class="buttons">
        <button
          type="button"
          class="primary"
          disabled={isBusy || (isError && error === '')}
          onClick={() => onOutcome(isError ? { error } : { result: result ?? null })}
        >
          Settle it
        </button>
      </div>
    </div>
  )
}
