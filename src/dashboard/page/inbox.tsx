import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { Pending } from '../../runtime/pending.ts'
import { listAll } from './api.ts'
import { onEvent } from './feed.ts'
import { QuestionForm } from './question-form.tsx'
import { toRunHash } from './route.ts'
import { toVisible } from './text.tsx'

/** All that waits for a person; undefined while it is not known. */
export const inbox = signal<readonly Pending[] | undefined>(undefined)
const inboxError = signal<string | undefined>(undefined)

let isLoading = false
let isStale = false

async function loadInbox(): Promise<void> {
  isStale = true
  if (isLoading) return
  isLoading = true
  try {
    while (isStale) {
      isStale = false
      const { value } = await listAll('pending', [])
      inbox.value = [...value].sort((a, b) => a.askedAt - b.askedAt)
      inboxError.value = undefined
    }
  } catch (error) {
    inboxError.value = error instanceof Error ? error.message : String(error)
  } finally {
    isLoading = false
  }
}

export function openInbox(): void {
  void loadInbox()
  onEvent((event) => {
    if (event === undefined || /^question\.|^(?:run|machine)\.(?:completed|failed|cancelled|removed)$/.test(event.type))
      void loadInbox()
  })
}

export function Inbox() {
  const questions = inbox.value
  useEffect(() => {
    document.title = 'Inbox · Perdure'
    void loadInbox()
  }, [])
  return (
    <section class="inbox" aria-labelledby="inbox-title">
      <h1 id="inbox-title">Inbox</h1>
      <p class="quiet">What waits for a person, over all runs; the oldest first.</p>
      {inboxError.value !== undefined && <p class="deed-error">{inboxError.value}</p>}
      {questions?.length === 0 && (
        <div class="empty">
          <h2>Nothing waits for you</h2>
          <p>Approvals, questions, limits and steps in doubt appear here.</p>
        </div>
      )}
      {questions?.map((question) => (
        <article key={`${question.runId} ${question.id}`} class="inbox-item">
          <a class="inbox-run mono" href={toRunHash(question.runId)}>
            {toVisible(question.runId)}
          </a>
          <QuestionForm question={question} />
        </article>
      ))}
    </section>
  )
}
