import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Job, JobResult } from './worker.ts'

/** Started with what we were, without what is of a test; the processes that it starts inherit it. */
const execArgv = process.execArgv.filter((word) => !word.startsWith('--test'))
/** A process that lives for a moment need not clean up while it loads, nor look for links where there are none. */
const quickStart = ['--min-semi-space-size=32', '--preserve-symlinks', '--preserve-symlinks-main']

const program = fileURLToPath(new URL('./worker.ts', import.meta.url))

/** Has `jobs` done by so many processes at once, and tells of each as it ends. Errors: a worker that dies by itself, a subject that cannot be explored. */
export async function workThrough<T extends Job>(
  jobs: readonly T[],
  workers: number,
  onResult: (job: T, report: Extract<JobResult, { report: unknown }>['report']) => void,
): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    let worker: ChildProcess | undefined
    try {
      for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) {
        worker ??= fork(program, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [...execArgv, ...quickStart] })
        const result = await ask(worker, job)
        if ('error' in result) throw new Error(`${job.name} (seed ${job.seed}): ${result.error}`)
        onResult(job, result.report)
      }
    } finally {
      worker?.disconnect()
    }
  }
  await Promise.all(Array.from({ length: Math.min(workers, jobs.length) }, work))
}

function ask(worker: ChildProcess, job: Job): Promise<JobResult> {
  const answer = Promise.withResolvers<JobResult>()
  const onExit = (code: number | null, signal: string | null): void =>
    answer.reject(new Error(`${job.name} (seed ${job.seed}): the process of the campaign ended (${signal ?? code})`))
  const onMessage = (result: JobResult): void => answer.resolve(result)
  worker.once('exit', onExit).once('message', onMessage)
  worker.send(job)
  return answer.promise.finally(() => worker.off('exit', onExit).off('message', onMessage))
}
