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
        'durable.send(event)\n    return commit()',
        'durable.send(event)\n    commit().catch(() => {})\n    return Promise.resolve()',
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
        '    settle(put(outcome, false))\n    await log.commit({ gather: true })',
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
  {
    name: 'what is committed is not synced',
    promise: 'P1',
    edits: [['runtime/runtime.ts', "sync: durability === 'disk'", 'sync: false']],
    subject: 'machines/inbox',
    counter: 'lostEvents',
  },
  {
    name: 'a step of a flow that has settled is executed again, and nobody is told',
    promise: 'P2',
    edits: [
      [
        'runtime/flow-steps.ts',
        "if (reason === 'reuse') return",
        "if (reason === 'reuse') await fn({ key: log.id + '#' + key, attempt: 1, signal })\n    if (reason === 'reuse') return",
      ],
    ],
    subject: 'flows/steps',
    counter: 'repeatedCalls',
  },
  {
    name: 'a step in doubt is reported as if it had succeeded',
    promise: 'P3',
    edits: [
      ['runtime/step-doubt.ts', 'outcome: report(recovery.detail)', "outcome: { status: 'ok', value: undefined as never }"],
    ],
    subject: 'machines/reported-step',
    counter: 'divergedStates',
  },
  {
    name: 'after a restart the timers of a machine are a minute late',
    promise: 'P8',
    edits: [
      [
        'runtime/durable-timers.ts',
        'for (const timer of stored) arm(',
        'pending = stored.map((timer) => ({ ...timer, dueAt: timer.dueAt + 60_000 }))\n  for (const timer of pending) arm(',
      ],
    ],
    subject: 'machines/delayed-raise',
    counter: 'divergedStates',
  },
  {
    name: 'after a restart a sleep begins anew',
    promise: 'P8',
    edits: [['runtime/flow-sleep.ts', 'isKept ? known.dueAt', "isKept && 'ms' in wait ? timers.now() + wait.ms"]],
    subject: 'flows/alarms',
    counter: 'divergedStates',
  },
  {
    name: 'what a machine emits is heard before it is on disk',
    promise: 'P1',
    edits: [
      [
        'runtime/machine-activation.ts',
        "actor.on('*', (event: EventObject) =>\n    hear(() => {",
        "actor.on('*', (event: EventObject) =>\n    [0].forEach(() => {",
      ],
    ],
    subject: 'machines/emit',
    counter: 'divergedStates',
  },
  {
    name: 'a turn that is resumed counts what it had paid once more',
    promise: 'P12',
    edits: [
      [
        'runtime/conversation.ts',
        'head = { ...head, turns: turn, turnSpend: cost }',
        'head = { ...head, spend: addSpend(head.spend, paid), turns: turn, turnSpend: cost }',
      ],
    ],
    subject: 'agents/calls',
    counter: 'divergedStates',
  },
]
