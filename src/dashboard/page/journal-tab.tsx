import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { CallNode, RunDetails } from '../../management/management.ts'
import { countOf, toCost } from './amounts.ts'
import { ask } from './api.ts'
import { CallBadge } from './badge.tsx'
import { DeedError, useDeed } from './deed.tsx'
import { toAllCalls, walkCalls } from './flatten.ts'
import { OutcomeForm } from './outcome-form.tsx'
import { toRunHash } from './route.ts'
import { Text, toVisible } from './text.tsx'
import { toDateTime, toDuration, toWhen } from './time.ts'
import { Arguments, Value } from './value.tsx'

/** What is recorded of a run, call by call, with what each came to; and what it was paid for. */
export function JournalTab({ details }: { readonly details: RunDetails }) {
  const { tree, steps } = details
  return (
    <>
      <Receipt details={details} />
      {tree.map(({ turn, prompt, calls }) => (
        <section key={turn} class="journal-turn">
          <h3>
            Turn {turn}
            {prompt !== undefined && <span class="quiet one-line"> {toVisible(prompt.slice(0, 200))}</span>}
          </h3>
          <Calls calls={calls} runId={details.id} />
        </section>
      ))}
      {steps.length > 0 && (
        <section class="journal-turn">
          {tree.length > 0 && <h3>Steps</h3>}
          <Calls calls={steps} runId={details.id} />
        </section>
      )}
      {tree.length + steps.length === 0 && <p class="quiet empty">It has made no calls.</p>}
      {details.children.length > 0 && (
        <section class="journal-turn">
          <h3>Runs within it</h3>
          <ul class="plain">
            {details.children.map((child) => (
              <li key={child}>
                <a class="mono" href={toRunHash(child)}>
                  {toVisible(child)}
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  )
}

function Receipt({ details }: { readonly details: RunDetails }) {
  const calls = toAllCalls(details).filter(({ kind }) => kind === 'model' || kind === 'tool' || kind === 'step')
  const settled = calls.filter(({ status }) => status === 'ok' || status === 'error')
  const count = (is: (call: CallNode) => boolean): number => settled.filter(is).length
  const rows: readonly (readonly [name: string, value: string, title: string])[] = [
    ['Paid', `${countOf(settled.length, 'call')} · ${toCost(details.spend) || '$0'}`, 'With those of the runs within it'],
    [
      'Not paid again',
      countOf(
        count(({ reused }) => reused),
        'call',
      ),
      'They had settled before the run was last taken up',
    ],
    [
      'Made again',
      countOf(
        count(({ resolution }) => resolution === 'retried'),
        'call',
      ),
      'They were in flight when a process ended: possibly paid twice',
    ],
    [
      'Recovered',
      countOf(
        count(({ resolution }) => resolution !== undefined && resolution !== 'retried'),
        'call',
      ),
      'They were in doubt, and their outcome was found out',
    ],
    [
      'Void',
      countOf(
        count(({ isVoid }) => isVoid),
        'call',
      ),
      'Their turn has started over since',
    ],
  ]
  return (
    <section class="receipt" aria-label="Receipt">
      <h3>Receipt</h3>
      <dl class="facts">
        {rows.map(([name, value, title]) => (
          <div class="fact" key={name} title={title}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  )
}

const Calls = ({ calls, runId }: { readonly calls: readonly CallNode[]; readonly runId: string }) => (
  <ol class="calls">
    {[...walkCalls(calls)].map(({ call, depth }) => (
      <li key={call.key} style={{ '--depth': depth }}>
        <Call call={call} runId={runId} />
      </li>
    ))}
  </ol>
)

function Call({ call, runId }: { readonly call: CallNode; readonly runId: string }) {
  const [isOpen, setOpen] = useState(call.status === 'inDoubt')
  const { kind, name, status, attempt, startedAt, endedAt, resolution, reused, isVoid } = call
  const marks = [
    attempt > 1 ? `attempt ${attempt}` : '',
    reused ? 'reused' : '',
    isVoid ? 'void' : '',
    resolution === undefined ? '' : `was in doubt: ${resolution}`,
  ].filter(Boolean)
  return (
    <details class="call" open={isOpen} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        <span class="call-kind">{kind}</span>
        <span class="call-name mono">{toVisible(name)}</span>
        <CallBadge status={status} />
        {marks.map((mark) => (
          <span key={mark} class="mark">
            {mark}
          </span>
        ))}
        <span class="call-cost number quiet">{toCost(call.spend)}</span>
        <time class="number quiet" title={toDateTime(startedAt)}>
          {endedAt === undefined ? toWhen(startedAt) : toDuration(endedAt - startedAt)}
        </time>
      </summary>
      {isOpen && <CallBody call={call} runId={runId} />}
    </details>
  )
}

function CallBody({ call, runId }: { readonly call: CallNode; readonly runId: string }) {
  const deed = useDeed()
  const { key, kind, status, error, result, runs } = call
  return (
    <div class="call-body">
      {status === 'inDoubt' && (kind === 'tool' || kind === 'step') && (
        <div class="settle" role="group" aria-label={`Settle ${call.name}`}>
          <p>It was cut off, and nobody knows whether it had its effect. Look for yourself, and say what it came to.</p>
          <OutcomeForm
            isBusy={deed.isBusy}
            onOutcome={(outcome) => void deed.run(runId, () => ask('settle', [runId, key, outcome]), `Settled ${call.name}.`)}
          />
          <DeedError deed={deed} />
        </div>
      )}
      {call.arguments !== undefined && (
        <Part name={kind === 'tool' ? 'Called with' : 'Asked'}>
          <Arguments text={call.arguments} />
        </Part>
      )}
      {error !== undefined && (
        <Part name="Failed with">
          <Text text={`${error.code === undefined ? '' : `${error.code}: `}${error.message}`} mono />
        </Part>
      )}
      {error === undefined && status === 'ok' && (
        <Part name="Came to">
          <Value value={result} open={2} />
        </Part>
      )}
      {runs.length > 0 && (
        <Part name="Runs of agents">
          {runs.map((run) => (
            <a key={run} class="mono" href={toRunHash(run)}>
              {toVisible(run)}
            </a>
          ))}
        </Part>
      )}
      <Part name="Key">
        <span class="mono quiet">{toVisible(key)}</span>
      </Part>
    </div>
  )
}

const Part = ({ name, children }: { readonly name: string; readonly children: ComponentChildren }) => (
  <div class="part">
    <span class="part-name">{name}</span>
    <div class="part-body">{children}</div>
  </div>
)
