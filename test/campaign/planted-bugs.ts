import type { counters } from './campaign.ts'

/** A bug that is put into the runtime while it is loaded, to see that the campaign finds it. Each takes one promise away. */
export interface PlantedBug {
  readonly name: string
  /** Of `docs/design.md`. */
  readonly promise: string
  /** Each replaces a text of a file in `src` by another. */
  readonly edits: readonly (readonly [file: string, original: string, planted: string])[]
  /** A program of the campaign, and which of its counters must not stay 0. */
  readonly subject: string
  readonly counter: (typeof counters)[number]
}

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'a send is acknowledged before it is on disk',
    promise: 'P1',
    edits: [
      [
        'runtime/machine-activation.ts',
        'actor.send(event)\n    return commit()',
        'actor.send(event)\n    commit().catch(() => {})\n    return Promise.resolve()',
      ],
    ],
    subject: 'machines/inbox',
    counter: 'lostEvents',
  },
  {
    name: 'an answer of a person is acknowledged before it is on disk',
    promise: 'P1',
    edits: [['runtime/questions.ts', 'await log.commit() // P1', 'log.commit().catch(() => {})']],
    subject: 'agents/approvals',
    counter: 'lostEvents',
  },
  {
    name: 'a step of a flow that has settled is executed again',
    promise: 'P2',
    edits: [
      [
        'runtime/flow-steps.ts',
        "if (reason === 'reuse') return",
        "if (reason === 'reuse' && known?.status === 'intended') return",
      ],
    ],
    subject: 'flows/recovered-step',
    counter: 'doubledEffects',
  },
  {
    name: 'an outcome is on disk before the state that it led to, and is not looked for there',
    promise: 'P2',
    edits: [
      [
        'runtime/step-execution.ts',
        '    settle(put(outcome, false))\n    await log.commit()',
        '    const settled = put(outcome, false)\n    await log.commit()\n    settle(settled)\n    await log.commit()',
      ],
      [
        'runtime/step-host.ts',
        "if (known?.status === 'ok' || isGivenUp(known)) {",
        'if (known !== undefined && isGivenUp(known)) {',
      ],
    ],
    subject: 'agents/external-tool',
    counter: 'repeatedCalls',
  },
  {
    name: 'a tool begins before its intent is on disk',
    promise: 'P3',
    edits: [['runtime/step-execution.ts', 'await durable // P3', 'durable.catch(() => {})']],
    subject: 'agents/external-tool',
    counter: 'doubledEffects',
  },
  {
    name: 'a step of a flow begins before its intent is on disk',
    promise: 'P3',
    edits: [['runtime/flow-steps.ts', 'await log.commit() // P3', '']],
    subject: 'flows/recovered-step',
    counter: 'doubledEffects',
  },
  {
    name: 'a tool in doubt is executed again instead of reported',
    promise: 'P3',
    edits: [['runtime/step-doubt.ts', "if (onDoubt === 'retry') return", "if (onDoubt !== 'ask') return"]],
    subject: 'agents/external-tool',
    counter: 'doubledEffects',
  },
  {
    name: 'a message is taken out of the inbox by a batch of its own',
    promise: 'P5',
    edits: [
      [
        'runtime/machine-activation.ts',
        "log.stage({ type: 'del', key })",
        "await services.store.write([{ type: 'del', key }], { sync: true })",
      ],
    ],
    subject: 'machines/between-runs',
    counter: 'stuckRuns',
  },
  {
    name: 'the id of an event is not recorded with it',
    promise: 'P5',
    edits: [['runtime/machine-activation.ts', "log.stage({ type: 'put', key, value: encodeRecord(key, services.now()) })", '']],
    subject: 'machines/inbox',
    counter: 'divergedStates',
  },
  {
    name: 'what has changed in a snapshot is written without what was removed',
    promise: 'P5',
    edits: [['persistence/patch.ts', 'delete target', 'void target']],
    subject: 'machines/spawned',
    counter: 'divergedStates',
  },
  {
    name: 'after a restart no alarm is set for the runs that wait for a time',
    promise: 'P8',
    edits: [
      [
        'runtime/wake.ts',
        'await forEach(due(0, time), activate)\n          await setAlarm(time)',
        'await forEach(due(0, time), activate)',
      ],
    ],
    subject: 'machines/passivated',
    counter: 'stuckRuns',
  },
]
