import { useEffect } from 'preact/hooks'
import { toAcceptedEvents } from './accepted-events.ts'
import { Actions } from './actions.tsx'
import { countOf, toCost, tokensOf, toShortCount } from './amounts.ts'
import { RunBadge } from './badge.tsx'
import { ChartTab } from './chart-tab.tsx'
import { CostTab } from './cost-tab.tsx'
import { connection } from './feed.ts'
import { JournalTab } from './journal-tab.tsx'
import { OverviewTab } from './overview-tab.tsx'
import { QuestionForm } from './question-form.tsx'
import { type Tab, tabs, toRunHash } from './route.ts'
import { isWhole, type OpenRun, openRun, showRun, showWhole } from './run-store.ts'
import { StateTab } from './state-tab.tsx'
import { toVisible } from './text.tsx'
import { toAge, toDateTime, toDuration } from './time.ts'
import { TranscriptTab } from './transcript-tab.tsx'
import { toWhy, type Why } from './why.ts'

const tabNames: Readonly<Record<Tab, string>> = {
  overview: 'Timeline',
  chart: 'Statechart',
  transcript: 'Transcript',
  cost: 'Cost',
  state: 'State',
  journal: 'Journal',
}

export function RunView({ id, tab }: { readonly id: string; readonly tab: Tab }) {
  useEffect(() => {
    showRun(id)
    document.title = `${id} · Perdure`
  }, [id])
  useEffect(() => () => showRun(''), [])
  const run = openRun.value
  return (
    <section class="run" aria-label={`Run ${id}`}>
      <nav class="crumbs" aria-label="Where this is">
        <a href="#/">Runs</a>
        {id.split('/').map((part, index, parts) => {
          const path = parts.slice(0, index + 1).join('/')
          return (
            <span key={path}>
              <span aria-hidden="true"> / </span>
              {path === run.details?.parent ? <a href={toRunHash(path)}>{toVisible(part)}</a> : toVisible(part)}
            </span>
          )
        })}
      </nav>
      {run.id === id && run.details !== undefined ? <Loaded run={run} tab={tab} /> : <Missing run={run} />}
    </section>
  )
}

function Missing({ run: { error } }: { readonly run: OpenRun }) {
  if (error === undefined) return <p class="quiet loading">Loading…</p>
  return (
    <div class="empty">
      <h2>{error.code === 'RUN_NOT_FOUND' ? 'There is no such run' : 'It cannot be shown'}</h2>
      <p>{error.message}</p>
    </div>
  )
}

function Loaded({ run, tab }: { readonly run: OpenRun; readonly tab: Tab }) {
  const { details, machine, snapshot, cut, id } = run
  if (details === undefined) return null
  const events = details.kind === 'machine' && machine !== undefined ? toAcceptedEvents(machine, snapshot?.state) : []
  const why = toWhy(details, events, connection.value === 'away')
  const hasChart = details.kind !== 'flow'
  const hasTranscript = details.kind === 'agent' || (run.transcript ?? []).length > 0
  const shownTabs = tabs.filter((each) => (each !== 'chart' || hasChart) && (each !== 'transcript' || hasTranscript))
  return (
    <>
      <header class="run-head">
        <div class="run-title">
          <h1>{toVisible(id)}</h1>
          <RunBadge run={details} />
        </div>
        <WhyBox why={why} />
        {details.questions.map((question) => (
          <QuestionForm key={`${question.runId} ${question.id}`} question={question} />
        ))}
        <Actions details={details} events={events} why={why} />
        <dl class="facts">
          <Fact name={details.kind} value={toVisible(details.name)} />
          <Fact name="started" value={toAge(details.createdAt)} title={toDateTime(details.createdAt)} />
          <Fact
            name={details.endedAt === undefined ? 'changed' : 'took'}
            value={details.endedAt === undefined ? toAge(details.updatedAt) : toDuration(details.endedAt - details.createdAt)}
            title={toDateTime(details.endedAt ?? details.updatedAt)}
          />
          {details.turns > 0 && <Fact name="turns" value={String(details.turns)} />}
          <Fact name="calls" value={`${details.spend.modelCalls} model, ${details.spend.toolCalls} tool`} />
          <Fact name="tokens" value={toShortCount(tokensOf(details.spend))} />
          <Fact name="cost" value={toCost(details.spend) || '$0'} />
          {details.children.length > 0 && <Fact name="runs within" value={String(details.children.length)} />}
        </dl>
      </header>
      <nav class="tabs" aria-label="Views of this run">
        {shownTabs.map((each) => (
          <a key={each} href={toRunHash(id, each)} aria-current={each === tab ? 'page' : undefined}>
            {tabNames[each]}
          </a>
        ))}
      </nav>
      {cut.length > 0 && (
        <p class="notice">
          {countOf(cut.length, 'long text is', 'long texts are')} cut.{' '}
          <button type="button" class="link" disabled={isWhole.value} onClick={showWhole}>
            Load all of {cut.length === 1 ? 'it' : 'them'}
          </button>
        </p>
      )}
      <div class="tab">
        {tab === 'overview' && <OverviewTab run={run} details={details} />}
        {tab === 'chart' && <ChartTab run={run} />}
        {tab === 'transcript' && <TranscriptTab run={run} />}
        {tab === 'cost' && <CostTab details={details} />}
        {tab === 'state' && <StateTab run={run} details={details} />}
        {tab === 'journal' && <JournalTab details={details} />}
      </div>
    </>
  )
}

const WhyBox = ({ why: { tone, title, detail } }: { readonly why: Why }) => (
  <div class="why" data-tone={tone} role="status">
    <p class="why-title">{toVisible(title)}</p>
    {detail !== undefined && <p class="why-detail">{toVisible(detail)}</p>}
  </div>
)

const Fact = ({ name, value, title }: { readonly name: string; readonly value: string; readonly title?: string }) => (
  <div class="fact" title={title}>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
)
