import type { StoreInfo } from '../management/management.ts'
import type { StoreStats } from '../management/stats.ts'
import { toBytes, toCount, toNumber } from '../observe/quantity.ts'
import { toSpendParts } from '../observe/spend-text.ts'
import { type ExitCode, runCommand, type StoreOptions, type Terminal, toJsonLine } from './command.ts'
import { toAgeText } from './run-text.ts'
import { toTable } from './table.ts'

/** `perdure stats`: who has a store open, and what is in it. With `json` one object. */
export const runStats = async (command: StoreOptions, terminal: Terminal): Promise<ExitCode> =>
  runCommand('stats', command, terminal, async (store) => {
    const [stats, info] = [await store.stats(), await store.info()]
    const owner = info.owner.pid === process.pid ? null : info.owner
    if (command.json === true) terminal.out(toJsonLine({ ...stats, owner }))
    else terminal.out(`${[toOwnerLine(owner, terminal), ...toLines(stats, terminal)].join('\n')}\n`)
    return 0
  })

const toOwnerLine = (owner: StoreInfo['owner'] | null, { now }: Terminal): string =>
  owner === null
    ? 'No process has it open: nothing goes on'
    : `Process ${owner.pid} has it open, for ${toAgeText(owner.startedAt, now())}`

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
