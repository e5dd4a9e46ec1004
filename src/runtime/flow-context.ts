import type { AsyncLocalStorage } from 'node:async_hooks'
import { PerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import type { Attempt } from './attempt.ts'
import type { FlowBranch, FlowContext, FlowScope, FlowWaitOptions } from './flow.ts'
import { createFlowQuestions } from './flow-ask.ts'
import type { Branch } from './flow-branch.ts'
import { createCheckpoints } from './flow-checkpoint.ts'
import type { FlowInbox } from './flow-inbox.ts'
import { createFlowSleeps, toSleep, toSleepUntil } from './flow-sleep.ts'
import { createFlowSteps } from './flow-steps.ts'
import type { FlowTurns } from './flow-turns.ts'
import { createFlowWaits } from './flow-wait.ts'
import { unheard } from './listener.ts'
import type { Services } from './services.ts'

/** What one attempt at a flow is made of. */
export interface FlowParts {
  readonly services: Services
  readonly scopes: AsyncLocalStorage<FlowScope>
  readonly log: RunLog
  readonly attempt: Attempt
  readonly turns: FlowTurns
  readonly inbox: FlowInbox
}

/** What the function of a flow is given, and the scope that it is to be called in. */
export function createFlowContext(
  { services, scopes, log, attempt, turns, inbox }: FlowParts,
  attemptNumber: number,
): { readonly context: FlowContext; readonly scope: FlowScope } {
  const { runId, signal } = attempt
  const checkpoints = createCheckpoints(services, log, attempt)
  const steps = createFlowSteps(services, log, attempt, checkpoints)
  const sleeps = createFlowSleeps(services, log, attempt, checkpoints)
  const waits = createFlowWaits(services, log, attempt, checkpoints, inbox)
  const questions = createFlowQuestions(services, log, attempt, checkpoints)
  const outer = scopes.getStore()

  const toScope = (branch: Branch, around: FlowScope | undefined): FlowScope => ({
    isWithin: (id) => id === runId || around?.isWithin(id) === true,
    assertNotInStep: () => {},
    branchOf: (id) => (id === runId ? branch : around?.branchOf(id)),
    runTurn: (agent, strategy, prompt, options) => turns.run(branch, agent, strategy, prompt, options),
  })
  /** Does `task` in the branch that the code is in. What it comes to need not be awaited. */
  const inBranch = <T>(what: string, task: (branch: Branch) => Promise<T>): Promise<T> => {
    const run = async (): Promise<T> => {
      const scope = scopes.getStore()
      scope?.assertNotInStep(what)
      return task(scope?.branchOf(runId) ?? attempt.root)
    }
    return unheard(run())
  }

  const all = async (branch: Branch, elements: readonly FlowBranch<unknown>[]): Promise<unknown[]> => {
    assertBranches(elements)
    attempt.assertOpen('`flow.all`')
    const forks = branch.fork(elements.length)
    const around = scopes.getStore()
    const running = elements.map(async (element, index) => {
      if (typeof element !== 'function') return element
      return scopes.run(toScope(forks[index] ?? branch, around), element) // one fork for each element
    })
    const outcomes = await Promise.allSettled(running)
    branch.join(forks)
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : undefined))
  }

  const context: FlowContext = {
    runId,
    attempt: attemptNumber,
    signal,
    step: (name, fn, options) =>
      inBranch(`Step \`${name}\``, (branch) =>
        steps(
          branch,
          name,
          // Whatever it is, it is refused there.
          typeof fn !== 'function'
            ? fn
            : (stepContext) => scopes.run(toStepScope(scopes.getStore(), runId, name), () => fn(stepContext)),
          options,
        ),
      ),
    sleep: (ms) => inBranch('A sleep', async (branch) => sleeps(branch, toSleep(ms))),
    sleepUntil: (time) => inBranch('A sleep', async (branch) => sleeps(branch, toSleepUntil(time))),
    waitFor: (type: string, options?: FlowWaitOptions) =>
      // Of the type that the schema says, or as it was sent.
      inBranch(`The wait for \`${type}\``, (branch) => waits(branch, type, options)) as Promise<never>,
    ask: (text, schema) => inBranch('A question', (branch) => questions(branch, text, schema)),
    // In the order and of the types of the elements.
    all: (elements) => {
      // Refused or not: what they come to is heard of here, or by nobody.
      if (Array.isArray(elements)) for (const element of elements) if (element instanceof Promise) unheard(element)
      return inBranch('`flow.all`', (branch) => all(branch, elements)) as Promise<never>
    },
  }
  return { context, scope: toScope(attempt.root, outer) }
}

/** Errors: a `TypeError`. */
function assertBranches(elements: unknown): asserts elements is readonly FlowBranch<unknown>[] {
  if (!Array.isArray(elements))
    throw new TypeError(`Expected the branches of \`flow.all\` to be an array, got \`${String(elements)}\` (${typeof elements})`)
  for (const [index, element] of elements.entries()) {
    if (typeof element === 'function' || typeof element?.then === 'function') continue
    const got = `\`${String(element)}\` (${typeof element})`
    throw new TypeError(
      `Expected branch ${index} of \`flow.all\` to be a function that returns a promise, or a promise, got ${got}`,
    )
  }
}

/** Inside of `flow.step`: what it does is recorded as a whole, so nothing in it can be a checkpoint of its own. */
function toStepScope(around: FlowScope | undefined, runId: string, step: string): FlowScope {
  const refuse = (what: string): never => {
    throw new PerdureError(
      'STEP_NESTED',
      `${what} was asked for inside of step \`${step}\` of run \`${runId}\`. A step is recorded as a whole: move it out of \`flow.step\`.`,
      { details: { run: runId, step } },
    )
  }
  return {
    isWithin: (id) => id === runId || around?.isWithin(id) === true,
    assertNotInStep: refuse,
    branchOf: (id) => around?.branchOf(id),
    runTurn: async (agent) => refuse(`A turn of \`${agent.profile.name}\``),
  }
}
