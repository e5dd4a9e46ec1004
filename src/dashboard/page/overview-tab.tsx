import type { CallNode, RunDetails, TurnNode } from '../../management/management.ts'
import { toCost, tokensOf, toShortCount } from './amounts.ts'
import { lives } from './feed.ts'
import { walkCalls } from './flatten.ts'
import { toRunHash } from './route.ts'
import type { OpenRun } from './run-store.ts'
import { callNames } from './standing.ts'
import { OneLine, Text, toVisible } from './text.tsx'
import { now, toClock, toDateTime, toDuration } from './time.ts'
import { createTimelineScale, type TimelineScale } from './timeline-scale.ts'
import { Value } from './value.tsx'

/** How a bar is drawn. */
type Look = 'paid' | 'reused' | 'running' | 'waiting' | 'inDoubt' | 'error' | 'void'

interface Row {
  readonly key: string
  readonly depth: number
  readonly kind: string
  readonly name: string
  readonly look: Look
  readonly from: number
  readonly to: number
  readonly note: string
  readonly turn: number | undefined
}

/** Something that happened at a time. */
interface Mark {
  readonly at: number
  readonly kind: 'crash' | 'resume' | 'back'
  readonly text: string
}

export function OverviewTab({ run, details }: { readonly run: OpenRun; readonly details: RunDetails }) {
  const rows = toRows(details)
  const marks = toMarks(details)
  const { input, output, children } = details
  return (
    <>
      {rows.length === 0 ? <p class="quiet empty">It has made no calls yet.</p> : <Timeline rows={rows} marks={marks} />}
      {children.length > 0 && (
        <p>
          Runs within it:{' '}
          {children.map((child, index) => (
            <span key={child}>
              {index > 0 && ', '}
              <a class="mono" href={toRunHash(child)}>
                {toVisible(child)}
              </a>
            </span>
          ))}
        </p>
      )}
      <div class="in-out">
        {input !== undefined && (
          <section class="panel" aria-label="Input">
            <h3>Input</h3>
            <Value value={input} open={2} />
          </section>
        )}
        {output !== undefined && output !== null && details.endedAt !== undefined && (
          <section class="panel" aria-label="Output">
            <h3>Output</h3>
            <Value value={output} open={2} />
          </section>
        )}
        {run.details?.error !== undefined && (
          <section class="panel" aria-label="Error">
            <h3>Error</h3>
            <Text text={`${run.details.error.code ?? 'Error'}: ${run.details.error.message}`} mono />
          </section>
        )}
      </div>
    </>
  )
}

function Timeline({ rows, marks }: { readonly rows: readonly Row[]; readonly marks: readonly Mark[] }) {
  const scale = createTimelineScale([
    ...rows.map(({ from, to }) => ({ from, to })),
    ...marks.map(({ at }) => ({ from: at, to: at })),
  ])
  return (
    <figure class="timeline" aria-label="Timeline">
      <Legend rows={rows} marks={marks} />
      <div class="timeline-body">
        <Axis scale={scale} />
        <Marks marks={marks} scale={scale} />
        <ol class="plain">
          {rows.map((row) => (
            <Line key={row.key} row={row} scale={scale} />
          ))}
        </ol>
      </div>
    </figure>
  )
}

const lookNames: Readonly<Record<Look, string>> = {
  paid: 'done',
  reused: 'reused, not paid again',
  running: 'running',
  waiting: 'waiting',
  inDoubt: 'in doubt',
  error: 'failed',
  void: 'void',
}

function Legend({ rows, marks }: { readonly rows: readonly Row[]; readonly marks: readonly Mark[] }) {
  const looks = (Object.keys(lookNames) as Look[]).filter((look) => rows.some((row) => row.look === look)) // of our own table
  const crashed = marks.some(({ kind }) => kind === 'crash')
  return (
    <figcaption class="legend">
      {looks.map((look) => (
        <span key={look} class="legend-item">
          <span class="legend-box" data-look={look} aria-hidden="true" />
          {lookNames[look]}
        </span>
      ))}
      {crashed && <span class="legend-item legend-crash">✕ crash</span>}
      {marks.some(({ kind }) => kind !== 'crash') && <span class="legend-item legend-resume">▶ resumed</span>}
    </figcaption>
  )
}

const percent = (share: number): string => `${(100 * share).toFixed(3)}%`

function Axis({ scale: { stretches } }: { readonly scale: TimelineScale }) {
  const first = stretches[0]
  const last = stretches.at(-1)
  if (first === undefined || last === undefined) return null
  return (
    <div class="axis" aria-hidden="true">
      <div class="axis-track">
        <span class="axis-end">{toClock(first.from)}</span>
        {stretches
          .filter(({ isGap }) => isGap)
          .map(({ from, to, start, end }) => (
            <span
              key={from}
              class="axis-gap"
              style={{ left: percent(start), width: percent(end - start) }}
              title={`Nothing for ${toDuration(to - from)}`}
            >
              {toDuration(to - from)}
            </span>
          ))}
        <span class="axis-end axis-last">{toClock(last.to)}</span>
      </div>
    </div>
  )
}

function Marks({ marks, scale }: { readonly marks: readonly Mark[]; readonly scale: TimelineScale }) {
  return (
    <div class="marks">
      {marks.map(({ at, kind, text }) => (
        <span
          key={`${kind} ${at}`}
          class="timeline-mark"
          data-kind={kind}
          style={{ left: percent(scale.place(at)) }}
          title={`${text}, ${toDateTime(at)}`}
        >
          <span aria-hidden="true">{kind === 'crash' ? '✕' : '▶'}</span>
          <span class="hidden">{`${text} at ${toClock(at)}`}</span>
        </span>
      ))}
    </div>
  )
}

function Line({ row, scale }: { readonly row: Row; readonly scale: TimelineScale }) {
  const { kind, name, depth, look, from, to, note, turn } = row
  const left = scale.place(from)
  const width = scale.place(to) - left
  const took = look === 'running' || look === 'waiting' ? `for ${toDuration(to - from)}` : toDuration(to - from)
  return (
    <li class="line" data-turn={turn !== undefined} style={{ '--depth': depth }}>
      <span class="line-name">
        <span class="call-kind">{kind}</span> <OneLine text={name} />
      </span>
      <span class="line-track">
        <span
          class="bar"
          data-look={look}
          style={{ left: percent(left), width: percent(Math.max(0, width)) }}
          title={`${toVisible(name.slice(0, 100))}: ${lookNames[look]}, ${took}, from ${toDateTime(from)}. ${note}`}
        />
      </span>
      <span class="line-note number quiet">
        <span class="hidden">{lookNames[look]}, </span>
        {took}
        {note !== '' && <span class="line-more"> · {note}</span>}
      </span>
    </li>
  )
}

function toRows(details: RunDetails): readonly Row[] {
  const { tree, steps } = details
  const rows: Row[] = []
  for (const turn of tree) {
    rows.push(toTurnRow(turn))
    for (const { call, depth } of walkCalls(turn.calls)) rows.push(toRow(call, depth + 1, `${turn.turn} ${call.key}`))
  }
  for (const { call, depth } of walkCalls(steps)) rows.push(toRow(call, depth, call.key))
  return rows
}

function toTurnRow({ turn, prompt, status, startedAt, endedAt, calls, tries, spend }: TurnNode): Row {
  const all = [...walkCalls(calls)].map(({ call }) => call)
  const from = Math.min(startedAt, ...all.map((call) => call.startedAt))
  const ends = all.map((call) => call.endedAt ?? call.startedAt)
  const busy = all.find((call) => ['running', 'waiting', 'retrying'].includes(call.status))?.status
  const look = toLook(status === 'inDoubt' ? (busy ?? status) : status)
  const to = endedAt ?? (look === 'inDoubt' ? Math.max(startedAt, ...ends) : now.value)
  const note = [tries > 1 ? `taken up ${tries} times` : '', toCost(spend)].filter(Boolean).join(' · ')
  return { key: `turn ${turn}`, depth: 0, kind: `turn ${turn}`, name: prompt ?? '', look, from, to, note, turn }
}

const toLook = (status: CallNode['status']): Look => (status === 'ok' ? 'paid' : status === 'retrying' ? 'waiting' : status)

function toRow(call: CallNode, depth: number, key: string): Row {
  const { kind, name, status, startedAt, endedAt, reused, isVoid, attempt, resolution, spend } = call
  const look = isVoid ? 'void' : reused ? 'reused' : toLook(status)
  const to = endedAt ?? (look === 'inDoubt' ? startedAt : Math.max(startedAt, now.value))
  const note = [
    attempt > 1 ? `attempt ${attempt}` : '',
    resolution === undefined ? '' : `was in doubt: ${resolution}`,
    tokensOf(spend) > 0 ? `${toShortCount(tokensOf(spend))} tok` : '',
    toCost(spend),
    status === 'ok' ? '' : callNames[status],
  ]
  return { key, depth, kind, name, look, from: startedAt, to, note: note.filter(Boolean).join(' · '), turn: undefined }
}

/** Where the run was taken up again: each turn says when it was last; and what this page saw itself. */
function toMarks({ tree, createdAt }: RunDetails): readonly Mark[] {
  const marks: Mark[] = []
  for (const { turn, tries, startedAt, calls } of tree) {
    if (tries < 2) continue
    const before = [...walkCalls(calls)].flatMap(({ call }) => [call.startedAt, call.endedAt ?? 0]).filter((at) => at < startedAt)
    if (before.length > 0) marks.push({ at: Math.max(...before), kind: 'crash', text: `Turn ${turn} was cut off after this` })
    marks.push({ at: startedAt, kind: 'resume', text: `Turn ${turn} was taken up again` })
  }
  for (const { at, isThere } of lives.value)
    if (at > createdAt)
      marks.push({ at, kind: isThere ? 'back' : 'crash', text: isThere ? 'The process was there again' : 'The process ended' })
  return marks.sort((a, b) => a.at - b.at)
}
