import { useRef, useState } from 'preact/hooks'
import type { RunDetails } from '../../management/management.ts'
import type { AcceptedEvent } from './accepted-events.ts'
import { ask } from './api.ts'
import { CompareForm } from './compare-form.tsx'
import { type Deed, DeedError, useDeed } from './deed.tsx'
import { ForkForm } from './fork-form.tsx'
import { toRunHash } from './route.ts'
import { JsonField } from './schema-form.tsx'

import type { Why } from './why.ts'

interface ActionsProps {
  readonly details: RunDetails
  readonly events: readonly AcceptedEvent[]
  readonly why: Why
}

/** What can be done to a run besides answering its questions. */
export function Actions({ details, events, why }: ActionsProps) {
  const deed = useDeed()
  const { id, kind, status } = details
  const isLive = status === 'running'
  const isMachine = kind === 'machine'
  return (
    <div class="actions">
      {why.tone === 'doubt' && (
        <a class="button primary" href={toRunHash(id, 'journal')}>
          Say what it came to
        </a>
      )}
      {isLive && isMachine && (
        <>
          <SendForm id={id} events={events} deed={deed} />
          <button
            type="button"
            disabled={deed.isBusy}
            title="Lets a run go on that was left alone"
            onClick={() => void deed.run(id, () => ask('resume', [id]), 'Resumed.')}
          >
            Resume
          </button>
        </>
      )}
      {kind === 'agent' && details.tree.length > 0 && <ForkForm key={id} details={details} deed={deed} />}
      <CompareForm key={`compare ${id}`} details={details} />
      {isLive && <CancelForm id={id} deed={deed} />}
      <DeedError deed={deed} />
    </div>
  )
}

function SendForm({ id, events, deed }: { readonly id: string; readonly events: readonly AcceptedEvent[]; readonly deed: Deed }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [type, setType] = useState('')
  const [data, setData] = useState<unknown>(undefined)
  const chosen = events.find((event) => event.type === type)
  const open = (): void => {
    setType(events[0]?.type ?? '')
    setData(undefined)
    dialog.current?.showModal()
  }
  const send = async (): Promise<void> => {
    const event = { ...(typeof data === 'object' ? data : {}), type }
    if (await deed.run(id, () => ask('send', [id, event, { id: crypto.randomUUID() }]), `Sent ${type}.`)) dialog.current?.close()
  }
  return (
    <>
      <button type="button" onClick={open}>
        Send event…
      </button>
      <dialog ref={dialog} class="dialog" aria-labelledby="send-title">
        <form
          onSubmit={(event) => {
            event.preventDefault()
            void send()
          }}
        >
          <h2 id="send-title">Send an event</h2>
          {events.length > 0 && (
            <div class="event-choice" role="group" aria-label="Events that this state accepts">
              {events.map((event) => (
                <button key={event.type} type="button" aria-pressed={event.type === type} onClick={() => setType(event.type)}>
                  {event.type}
                </button>
              ))}
            </div>
          )}
          <label class="field">
            <span class="field-label">Type</span>
            <input value={type} required onInput={({ currentTarget }) => setType(currentTarget.value)} />
          </label>
          <p class="quiet">
            {chosen === undefined
              ? 'The present state does not take this event.'
              : (chosen.description ??
                (chosen.leadsTo.length > 0 ? `It leads to ${chosen.leadsTo.join(' or ')}.` : 'The state stays as it is.'))}
          </p>
          <div class="field">
            <label for="event-data">
              What else is in it, as JSON<span class="quiet"> optional</span>
            </label>
            <JsonField key={type} id="event-data" value={data} onChange={setData} />
          </div>
          <DeedError deed={deed} />
          <div class="buttons">
            <button type="submit" class="primary" disabled={deed.isBusy || type === ''}>
              Send
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

function CancelForm({ id, deed }: { readonly id: string; readonly deed: Deed }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [reason, setReason] = useState('')
  const cancel = async (): Promise<void> => {
    const args: [string, string?] = reason === '' ? [id] : [id, reason]
    await deed.run(id, () => ask('cancel', args), 'Cancelled.')
    dialog.current?.close()
  }
  return (
    <>
      <button type="button" class="danger-quiet" onClick={() => dialog.current?.showModal()}>
        Cancel run…
      </button>
      <dialog ref={dialog} class="dialog" aria-labelledby="cancel-title">
        <form
          onSubmit={(event) => {
            event.preventDefault()
            void cancel()
          }}
        >
          <h2 id="cancel-title">Cancel this run?</h2>
          <p class="quiet">What it has under way is broken off. It cannot be taken up again.</p>
          <label class="field">
            <span class="field-label">
              Reason<span class="quiet"> optional</span>
            </span>
            <input value={reason} onInput={({ currentTarget }) => setReason(currentTarget.value)} />
          </label>
          <div class="buttons">
            <button type="submit" class="danger" disabled={deed.isBusy}>
              Cancel the run
            </button>
            <button type="button" onClick={() => dialog.current?.close()}>
              Keep it
            </button>
          </div>
        </form>
      </dialog>
    </>
  )
}
