import { isPerdureError, toMessage } from '../errors.ts'
import { connect } from '../management/client.ts'
import { examineLive } from '../management/examine-live.ts'
import { toFirstLine, toSafeJson, toSafeText } from '../observe/safe-text.ts'
import { type DoctorReport, type DoctorSummary, doctor } from '../runtime/doctor.ts'
import type { MachineEntry } from '../runtime/machine-registry.ts'
import { loadMachines } from './app.ts'
import { type CommandOutput, readEncryption } from './command.ts'

export type { CommandOutput } from './command.ts'

/** What the command `perdure doctor` was given. */
export interface DoctorCommand {
  /** The folder of the store. */
  readonly dir: string
  /** A module that exports `machines`, as `openRuntime` takes them. */
  readonly app: string
  readonly json?: boolean | undefined
}

/** `0`: every live run would go on. `1`: some would not. `2`: nothing could be said. */
export type ExitCode = 0 | 1 | 2

/**
 * Runs `perdure doctor`: a line for each run that does not simply continue, and a summary; with `json` an object a line for every live run and nothing
 * else. If a process has the store open, it is asked, and goes on meanwhile. What went wrong is one line on `err`. Never throws.
 */
export async function runDoctor({ dir, app, json = false }: DoctorCommand, { out, err }: CommandOutput): Promise<ExitCode> {
  try {
    const machines = await loadMachines(app)
    const summary = await examineAll(dir, machines, (report) => {
      if (json) out(`${toSafeJson(JSON.stringify(report))}\n`)
      else if (report.verdict !== 'continue') out(`${toLine(report)}\n`)
    })
    if (!json) out(`${toSummaryLine(summary)}\n`)
    return summary.continue + summary.migrate === summary.total ? 0 : 1
  } catch (error) {
    err(`perdure doctor: ${isPerdureError(error) ? `${error.code}: ` : ''}${toFirstLine(toMessage(error))}\n`)
    return 2
  }
}

async function examineAll(
  directory: string,
  machines: readonly MachineEntry[],
  onRun: (report: DoctorReport) => void,
): Promise<DoctorSummary> {
  const encryption = readEncryption(process.env)
  try {
    return await doctor({ directory, machines, encryption, onRun })
  } catch (error) {
    if (!isPerdureError(error, 'STORE_LOCKED')) throw error // it had told nothing yet
  }
  const store = await connect(directory, { machines, encryption })
  try {
    const counts = { total: 0, continue: 0, migrate: 0, park: 0, unknown: 0, unreadable: 0 }
    for await (const report of examineLive(store, machines)) {
      counts.total++
      counts[report.verdict]++
      onRun(report)
    }
    return counts
  } finally {
    await store[Symbol.asyncDispose]()
  }
}

function toLine(report: DoctorReport): string {
  const run = toSafeText(report.runId)
  const machine = report.machine === undefined ? '' : ` (${toSafeText(toMachineText(report.machine, report.version?.declared))})`
  return `${run}${machine}: ${toVerdictText(report)}`
}

const toMachineText = (machine: string, version: string | undefined): string =>
  version === undefined ? machine : `${machine}, version ${version}`

function toVerdictText(report: DoctorReport): string {
  switch (report.verdict) {
    case 'continue':
      return 'continues'
    case 'migrate':
      return 'migrates'
    case 'park':
      return `parks. ${toSafeText(report.error?.message ?? `Missing: ${report.missing.join('; ')}`)}`
    case 'unknown':
      return `unknown. ${toSafeText(report.error.message)}`
    case 'unreadable':
      return `unreadable. ${report.error.code}: ${toSafeText(report.error.message)}`
  }
}

function toSummaryLine({ total, ...counts }: DoctorSummary): string {
  const parts = Object.entries(counts).map(([verdict, count]) => `${count} ${verdict}`)
  return `${total} live ${total === 1 ? 'run' : 'runs'}: ${parts.join(', ')}`
}
