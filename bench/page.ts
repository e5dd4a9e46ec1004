import { cpus, release, totalmem, type } from 'node:os'
import { type Figure, toText } from './figure.ts'

/** Measured earlier, by the research of this project, on the same kind of machine with the same turn. */
const peers = [
  ['p50 of a turn, one run, synced', 'Restate 3.3 ms, LangGraph + SQLite 2.8 ms, DBOS 5.0 ms'],
  ['turns a second, 1,000 runs at once', 'Restate 1,910, written by hand 610 to 800, DBOS 470, LangGraph 350'],
  ['fsyncs per call', 'Restate and DBOS about 1'],
  [
    'bytes of a turn',
    'Restate 5.8 KB at any turn; LangGraph 190 KB at turn 10, 5.4 MB at turn 200; written by hand the same shape',
  ],
  ['resume after kill -9 at turn 200', 'LangGraph 455 ms, Restate 690 ms, DBOS 1,900 ms'],
  ['a checkpoint returned from the store', 'LangGraph functional API 0.32 ms, DBOS 0.6 ms, Restate 2.9 ms'],
  ['100,000 waiting runs', 'DBOS: 10,000 take 16 s and 650 MB'],
] as const

/** One figure for a terminal. */
export function toLine({ figure, value, unit, reference, ratio, reach, ok }: Figure): string {
  const compared = reference === undefined ? '' : `${toText(reference)} · ${toText(ratio ?? Number.NaN)} ×`
  const verdict = reach === undefined ? '' : `${ok === true ? 'ok' : 'MISSED'}  ${reach}`
  return `${figure.padEnd(66)}${`${toText(value)} ${unit}`.padStart(16)}${compared.padStart(20)}   ${verdict}`.trimEnd()
}

/** The page `docs/benchmarks.md`. */
export function toPage(figures: readonly Figure[], rounds: number): string {
  const [processor] = cpus()
  const machine = `${type()} ${release().replace(/-.*/, '')}, ${cpus().length} × ${processor?.model.trim() || 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB`
  const missed = figures.filter(({ ok }) => ok === false)
  return `# Benchmarks

Written by \`npm run bench\` on ${new Date().toISOString().slice(0, 10)}: Node ${process.version.slice(1)}, ${machine}; medians of ${rounds} rounds.

One turn of an agent is model, tool, model, with stubs that resolve at once and say 1 KB each: what is left is what keeping it costs. Each figure stands beside a reference that is measured in the same run, round by round; between
machines, compare the ratios. The references are a bare write with \`fdatasync\`, a bare LevelDB, plain XState that keeps nothing, and what one would write by hand: \`createActor\` and \`level\`, the JSON of the whole persisted
snapshot at every change.

| figure | value | reference | ratio | reach | |
| --- | ---: | --- | ---: | --- | --- |
${figures.map(toRow).join('\n')}

${missed.length === 0 ? 'All of them reach what they are to reach.' : `## What is missed\n\n${missed.map(toMissed).join('\n')}`}

## Others

Measured earlier for this project, with the same turn on the same kind of machine; not measured again by this command.

| figure | others |
| --- | --- |
${peers.map((row) => `| ${row.join(' | ')} |`).join('\n')}

## Again

\`npm run bench\` writes this page; \`npm run bench -- throughput\` measures one part; \`--rounds N\`, \`--json\` (one object a line), \`--limits\` (the exit code is 1 when something is missed). The programs are in [bench](../bench).
`
}

const toRow = ({ figure, value, unit, reference, against, ratio, reach, ok }: Figure): string =>
  `| ${figure} | ${toText(value)} ${unit} | ${reference === undefined ? '' : `${toText(reference)} ${unit}: ${against}`} | ${ratio === undefined ? '' : `${toText(ratio)} ×`} | ${reach ?? ''} | ${ok === undefined ? '' : ok ? 'reached' : '**missed**'} |`

const toMissed = ({ figure, value, unit, ratio, reach, bounds }: Figure): string =>
  `- **${figure}**: ${reach?.endsWith('×') === true ? `${toText(ratio ?? Number.NaN)} ×` : `${toText(value)} ${unit}`} instead of ${reach}. ${bounds ?? ''}`.trimEnd()
