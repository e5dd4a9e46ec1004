import type { StoreStats } from '../management/stats.ts'
import { toBytes, toCount, toNumber } from '../observe/quantity.ts'
import { toSpendParts } from '../observe/spend-text.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toTable } from './table.ts'

/** `perdure stats`: what is in a store. With `json` one object. */
export const runStats = async (command: StoreOptions, terminal: Terminal): Promise<ExitCode> =>
  runCommand('stats', command, terminal, async (store) => {
    const stats = await store.stats()
    terminal.out(command.json === true ? toJsonLine(stats) : `${toLines(stats, terminal).join('\n')}\n`)
    return 0
  })

function toLines({ runs, byStatus, byKind, pending, spend, records, disk }: StoreStats, terminal: Terminal): readonly string[] {
  const { theme, columns } = terminal
  const toParts = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([name, count]) => `${toNumber(count)} ${name}`)
      .join(', ')
  const rows = Object.entries(records)
    .filter(([, { count }]) => count > 0)
    .map(([name, { count, bytes }]) => [{ text: name }, { text: toNumber(count) }, { text: toBytes(bytes) }])
  const cost = toSpendParts(spend)
  return [
    `${toCount(runs, 'run')}${runs === 0 ? '' : `: ${toParts(byStatus)}`}`,
    ...(runs === 0 ? [] : [`  ${theme.dim(toParts(byKind))}`]),
    `${toCount(pending, 'question')} for a person`,
    ...(cost.length === 0 ? [] : [cost.join(' · ')]),
    `${toBytes(disk.database)} on disk${disk.files === 0 ? '' : `, and ${toBytes(disk.files)} of files of commands`}`,
    ...(rows.length === 0
      ? []
      : [
          '',
          ...toTable(
            [{ title: 'RECORDS' }, { title: 'COUNT', align: 'right' }, { title: 'BYTES', align: 'right' }],
            rows,
            columns,
            theme.dim,
          ),
        ]),
  ].map(theme.spell)
}
