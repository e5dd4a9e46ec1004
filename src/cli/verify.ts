import type { Finding } from '../management/finding.ts'
import { toCount } from '../observe/quantity.ts'
import { toSafeText } from '../observe/safe-text.ts'
import type { Theme, Tone } from '../observe/theme.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'

const COSTS: Readonly<Record<Finding['costs'], { readonly tone: Tone; readonly text: string }>> = {
  run: { tone: 'fail', text: 'The run cannot go on: delete it, or restore the store from a backup.' },
  part: { tone: 'repeat', text: 'The run goes on without it.' },
  unknown: { tone: 'fail', text: 'What was there cannot be told.' },
  nothing: { tone: 'note', text: 'No run misses it.' },
}

/** `perdure verify`: what is damaged in a store, and what that costs. With `json` a finding a line. `1`: something is damaged. */
export const runVerify = async (command: StoreOptions, terminal: Terminal): Promise<ExitCode> =>
  runCommand('verify', command, terminal, async (store) => {
    const { json = false } = command
    const { out, theme } = terminal
    const counts = { run: 0, part: 0, unknown: 0, nothing: 0 }
    const lost = new Set<string>()
    for await (const finding of store.verify()) {
      const { costs, run } = finding
      counts[costs] += 1
      if (costs === 'run' && run !== undefined) lost.add(run)
      out(json ? toJsonLine(finding) : `${toLines(finding, theme).join('\n')}\n`)
    }
    const damaged = counts.run + counts.part + counts.unknown
    if (!json) out(`${toSummary(counts, lost.size)}\n`)
    return damaged === 0 ? 0 : 1
  })

function toLines({ run, key, what, costs, isRemovable }: Finding, theme: Theme): readonly string[] {
  const { tone, text } = COSTS[costs]
  const about = run ?? key
  const head = about === undefined ? '' : `${theme.bold(toSafeText(about))}: `
  return [
    `${theme.paint(tone, theme.glyph(tone))} ${head}${toSafeText(what)}.`,
    `  ${theme.dim(`${text}${isRemovable ? ' `perdure gc` removes it.' : ''}`)}`,
  ].map(theme.spell)
}

function toSummary({ run, part, unknown, nothing }: Readonly<Record<Finding['costs'], number>>, lost: number): string {
  if (run + part + unknown === 0) {
    const left = nothing === 0 ? '' : ` ${toCount(nothing, 'leftover')} that no run misses.`
    return `The store is sound.${left}`
  }
  const parts = [
    lost === 0 ? [] : [`${toCount(lost, 'run')} cannot go on`],
    part === 0 ? [] : [`${toCount(part, 'part')} of runs missing`],
    unknown === 0 ? [] : [`${toCount(unknown, 'place')} that cannot be read`],
  ]
  return `The store is damaged: ${parts.flat().join(', ')}.`
}
