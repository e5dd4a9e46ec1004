import { useEffect, useRef } from 'preact/hooks'
import type uPlot from 'uplot'
import type { RunDetails } from '../../management/management.ts'
import { toCost, toCount, toUsd } from './amounts.ts'
import { toAllCalls } from './flatten.ts'
import { toVisible } from './text.tsx'
import { isDark } from './theme.ts'
import { toDuration } from './time.ts'

export function CostTab({ details }: { readonly details: RunDetails }) {
  const calls = toAllCalls(details)
    .filter(({ spend, endedAt }) => endedAt !== undefined && spend.inputTokens + spend.outputTokens > 0)
    .sort((a, b) => (a.endedAt ?? 0) - (b.endedAt ?? 0))
  const { spend } = details
  return (
    <>
      <dl class="facts tiles">
        <Tile name="Cost" value={toCost(spend) || '$0'} />
        <Tile name="Input tokens" value={toCount(spend.inputTokens)} note={`${toCount(spend.cachedInputTokens)} cached`} />
        <Tile name="Output tokens" value={toCount(spend.outputTokens)} note={`${toCount(spend.reasoningTokens)} reasoning`} />
        <Tile name="In calls" value={toDuration(spend.durationMs)} />
      </dl>
      {calls.length === 0 ? <p class="quiet empty">No call has told what it used.</p> : <Plot calls={calls} />}
      {calls.length > 0 && (
        <div class="scroll">
          <table>
            <caption class="hidden">What each call used</caption>
            <thead>
              <tr>
                <th scope="col">Call</th>
                <th scope="col" class="number">
                  Input
                </th>
                <th scope="col" class="number">
                  Output
                </th>
                <th scope="col" class="number">
                  Cost
                </th>
                <th scope="col" class="number">
                  Took
                </th>
              </tr>
            </thead>
            <tbody>
              {calls.slice(-200).map((call) => (
                <tr key={call.key}>
                  <td class="mono">{toVisible(call.name)}</td>
                  <td class="number">{toCount(call.spend.inputTokens)}</td>
                  <td class="number">{toCount(call.spend.outputTokens)}</td>
                  <td class="number">{toCost(call.spend)}</td>
                  <td class="number">{toDuration(call.spend.durationMs)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  )
}

const Tile = ({ name, value, note }: { readonly name: string; readonly value: string; readonly note?: string }) => (
  <div class="fact tile">
    <dt>{name}</dt>
    <dd>{value}</dd>
    {note !== undefined && <span class="quiet">{note}</span>}
  </div>
)

const HEIGHT = 240

/** Tokens and cost so far, at the end of each call. */
function Plot({ calls }: { readonly calls: ReturnType<typeof toAllCalls> }) {
  const box = useRef<HTMLDivElement>(null)
  const dark = isDark.value
  const last = calls.at(-1)?.key
  useEffect(() => {
    const element = box.current
    if (element === null) return
    let plot: uPlot | undefined
    let isOver = false
    const observer = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: HEIGHT }))
    void import('uplot').then(({ default: Plotter }) => {
      if (isOver) return
      plot = new Plotter(toOptions(element), toData(calls), element)
      observer.observe(element)
    })
    return () => {
      isOver = true
      observer.disconnect()
      plot?.destroy()
    }
  }, [calls.length, last, dark])
  return <div class="plot" ref={box} role="img" aria-label="Tokens and cost over time; the table below has the figures" />
}

function toData(calls: ReturnType<typeof toAllCalls>): uPlot.AlignedData {
  const columns: [number[], number[], number[], number[]] = [[], [], [], []]
  let [input, output, cost] = [0, 0, 0]
  const begin = calls[0]?.startedAt ?? 0
  const add = (at: number): void => {
    for (const [index, value] of [at / 1_000, input, output, cost].entries()) columns[index]?.push(value)
  }
  add(begin)
  for (const { spend, endedAt = 0 } of calls) {
    input += spend.inputTokens
    output += spend.outputTokens
    cost += spend.costUsd
    add(endedAt)
  }
  return columns
}

function toOptions(element: HTMLElement): uPlot.Options {
  const style = getComputedStyle(element)
  const color = (name: string): string => style.getPropertyValue(name).trim()
  const axis = {
    stroke: color('--text-quiet'),
    grid: { stroke: color('--line'), width: 1 },
    ticks: { stroke: color('--line'), width: 1 },
  }
  return {
    width: element.clientWidth,
    height: HEIGHT,
    cursor: { y: false },
    scales: {
      usd: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] },
      y: { range: (_, __, max) => [0, Math.max(1, max * 1.1)] },
    },
    axes: [
      axis,
      { ...axis, size: 64, values: (_, values) => values.map((value) => toCount(value)) },
      {
        ...axis,
        scale: 'usd',
        side: 1,
        size: 72,
        grid: { show: false },
        values: (_, values) => values.map((value) => toUsd(value)),
      },
    ],
    series: [
      {},
      { label: 'Input tokens', stroke: color('--blue'), width: 2, points: { size: 6 } },
      { label: 'Output tokens', stroke: color('--violet'), width: 2, points: { size: 6 } },
      { label: 'Cost', scale: 'usd', stroke: color('--green'), width: 2, dash: [6, 4], points: { size: 6 } },
    ],
  }
}
