import { useState } from 'preact/hooks'
import type { Pending } from '../../runtime/pending.ts'
import { ask } from './api.ts'
import { type Deed, DeedError, useDeed } from './deed.tsx'
import { OutcomeForm } from './outcome-form.tsx'
import { JsonField, SchemaField, toInitial } from './schema-form.tsx'
import { Text } from './text.tsx'
import { toAge, toDateTime } from './time.ts'
import { Arguments } from './value.tsx'

const kindNames: Readonly<Record<Pending['kind'], string>> = {
  approval: 'Approval',
  question: 'Question',
  doubt: 'In doubt',
  limit: 'Limit',
}

/** What waits for a person, and the form that answers it. */
export function QuestionForm({ question }: { readonly question: Pending }) {
  const deed = useDeed()
  const { kind, text, call, refused, askedAt, name } = question
  const answer: Answer = (value, done) =>
    deed.run(question.runId, () => ask('answer', [question.runId, question.id, value]), done)
  return (
    <form
      class="question"
      data-kind={kind}
      aria-label={`${kindNames[kind]}: ${name}`}
      onSubmit={(event) => event.preventDefault()}
    >
      <header class="question-head">
        <span class="question-kind">{kindNames[kind]}</span>
        <strong class="mono">{name}</strong>
        <time class="quiet" title={toDateTime(askedAt)}>
          {toAge(askedAt)}
        </time>
      </header>
      <p class="question-text">
        <Text text={text} />
      </p>
      {refused !== undefined && <p class="deed-error">The last answer did not fit: {refused}</p>}
      {kind === 'approval' && call !== undefined ? (
        <ApprovalForm call={call} deed={deed} answer={answer} />
      ) : kind === 'doubt' ? (
        <OutcomeForm isBusy={deed.isBusy} onOutcome={(outcome) => void answer(outcome, `Settled ${name}.`)} />
      ) : (
        <AnswerForm question={question} deed={deed} answer={answer} />
      )}
      <DeedError deed={deed} />
    </form>
  )
}

type Answer = (value: unknown, done: string) => Promise<boolean>

function ApprovalForm({
  call,
  deed,
  answer,
}: {
  readonly call: NonNullable<Pending['call']>
  readonly deed: Deed
  readonly answer: Answer
}) {
  const [mode, setMode] = useState<'decide' | 'edit' | 'deny'>('decide')
  const [changed, setChanged] = useState<unknown>(() => parse(call.arguments))
  const [reason, setReason] = useState('')
  if (mode === 'edit')
    return (
      <>
        <label class="field-label" for="edited-arguments">
          Arguments to call it with instead
        </label>
        <JsonField id="edited-arguments" value={changed} onChange={setChanged} />
        <div class="buttons">
          <button
            type="button"
            class="primary"
            disabled={deed.isBusy || changed === undefined}
            onClick={() => void answer({ approved: true, arguments: changed }, `Approved ${call.name} with other arguments.`)}
          >
            Approve with these
          </button>
          <button type="button" onClick={() => setMode('decide')}>
            Back
          </button>
        </div>
      </>
    )
  if (mode === 'deny')
    return (
      <>
        <label class="field">
          <span class="field-label">Why not? The model is told.</span>
          <textarea rows={2} value={reason} onInput={({ currentTarget }) => setReason(currentTarget.value)} />
        </label>
        <div class="buttons">
          <button
            type="button"
            class="danger"
            disabled={deed.isBusy}
            onClick={() => void answer(reason === '' ? false : { approved: false, reason }, `Denied ${call.name}.`)}
          >
            Deny
          </button>
          <button type="button" onClick={() => setMode('decide')}>
            Back
          </button>
        </div>
      </>
    )
  return (
    <>
      <div class="call-arguments">
        <Arguments text={call.arguments} />
      </div>
      <div class="buttons">
        <button type="button" class="primary" disabled={deed.isBusy} onClick={() => void answer(true, `Approved ${call.name}.`)}>
          Approve
        </button>
        <button type="button" onClick={() => setMode('deny')}>
          Deny…
        </button>
        <button type="button" onClick={() => setMode('edit')}>
          Edit arguments…
        </button>
      </div>
    </>
  )
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

function AnswerForm({ question, deed, answer }: { readonly question: Pending; readonly deed: Deed; readonly answer: Answer }) {
  const { schema, name } = question
  const [value, setValue] = useState<unknown>(() => toInitial(schema))
  return (
    <>
      <SchemaField schema={schema} label="Answer" value={value} isRequired onChange={setValue} />
      <div class="buttons">
        <button
          type="submit"
          class="primary"
          disabled={deed.isBusy || value === undefined}
          onClick={() => void answer(value, `Answered ${name}.`)}
        >
          Answer
        </button>
      </div>
    </>
  )
}
