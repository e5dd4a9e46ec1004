/** P1 of answers by death: one process asks and is killed, another takes the answer and is killed, and a third goes on with it. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { ApprovalAppOrder, ApprovalAppReport } from '../support/doubt-app-approval.ts'
import { runProgram } from '../support/program.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/doubt-app-approval.ts', import.meta.url))

describe('an approval and a question whose process was killed', { concurrency: 2 }, () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  type Life = Pick<ApprovalAppOrder, 'answers'> & Partial<ApprovalAppOrder>

  /** One process after the other; a life with a death has no report. */
  const live = async (mode: ApprovalAppOrder['mode'], lives: readonly Life[]) => {
    const directory = room.path()
    const effects = `${directory}.effects`
    const reports: (ApprovalAppReport | undefined)[] = []
    for (const life of lives) {
      const order: ApprovalAppOrder = { directory, effects, mode, runs: true, ...life }
      const { exitCode, signal, stdout, stderr } = await runProgram(app, {
        cwd: room.root,
        env: { ORDER: JSON.stringify(order), NODE_COMPILE_CACHE: `${room.root}/cache` },
      })
      assert.equal(signal ?? exitCode, life.death === undefined ? 0 : 'SIGKILL', stderr)
      reports.push(life.death === undefined ? JSON.parse(stdout) : undefined)
    }
    return { reports, paid: existsSync(effects) ? readFileSync(effects, 'utf8').trim().split('\n') : [] }
  }
  const ask: Life = { answers: [], death: 'asked' }
  const toPayment = (line: string) => line.replace(/, attempt \d/, '')
  const told = (report: ApprovalAppReport | undefined) => report?.output?.split(' | ')

  for (const mode of ['session', 'agent'] as const) {
    for (const [title, answer, expected, payments] of [
      ['approved', true, 'paid 50 to Ada', ['50 to Ada, attempt 1']],
      [
        'denied',
        { approved: false, reason: 'Too much.' },
        'A person denied this call of `pay`. It was not executed. The reason: Too much.',
        [],
      ],
      [
        'changed',
        { approved: true, arguments: { to: 'Bob', euros: 20 } },
        '(A person changed the arguments to {"to":"Bob","euros":20}.)\npaid 20 to Bob',
        ['20 to Bob, attempt 1'],
      ],
    ] as const)
      test(`is ${title} in another process, which dies as soon as it is on disk (${mode})`, async () => {
        const { reports, paid } = await live(mode, [
          ask,
          { runs: false, answers: [['approval', answer]], death: 'answered' },
          { runs: false, answers: [['question', 'Friday']], death: 'answered' },
          { answers: [] },
        ])
        assert.deepEqual(told(reports[3]), [expected, 'Friday'])
        assert.deepEqual(reports[3]?.answered, [])
        // The run of an agent takes the answer at once, so it may have begun to pay when it was killed.
        if (mode === 'agent') assert.deepEqual([...new Set(paid.map(toPayment))], payments.map(toPayment))
        else {
          assert.deepEqual(paid, payments)
          assert.equal(reports[3]?.modelCalls, 1, 'what it had asked for is not asked for again')
        }
        assert.deepEqual(reports[3]?.pending, [])
      })

    test(`refuses what does not fit, and still waits after that (${mode})`, async () => {
      const { reports, paid } = await live(mode, [
        ask,
        { runs: false, answers: [['approval', { approved: 'yes' }]], death: 'answered' },
        { runs: false, answers: [['question', 'Tuesday']], death: 'answered' },
        {
          answers: [
            ['approval', 'yes'],
            ['question', 'Tuesday'],
            ['question', 'Monday'],
            ['approval', true],
          ],
        },
      ])
      assert.deepEqual(reports[3]?.answered, ['ANSWER_INVALID', 'ANSWER_INVALID', 'ok', 'ok'])
      assert.deepEqual(told(reports[3]), ['paid 50 to Ada', 'Monday'])
      assert.deepEqual(paid, ['50 to Ada, attempt 1'])
    })
  }

  test('waits again when its process died before the answer was on disk: nobody was told that it was taken', async () => {
    const { reports, paid } = await live('agent', [
      ask,
      { runs: false, answers: [['approval', true]], death: 'answering' },
      {
        answers: [
          ['approval', false],
          ['question', 'Friday'],
        ],
      },
    ])
    assert.deepEqual(reports[2]?.answered, ['ok', 'ok'])
    assert.match(reports[2]?.output ?? '', /^A person denied/)
    assert.deepEqual(paid, [])
  })

  test('is not asked again about a call that was approved and cut off: its outcome is not known', async () => {
    const { reports, paid } = await live('session', [
      ask,
      { answers: [['approval', true]], death: 'paying' },
      { answers: [['question', 'Monday']] },
    ])
    assert.match(told(reports[2])?.[0] ?? '', /^The process was ended while tool `pay` ran, and the outcome is not known/)
    assert.deepEqual(paid, ['50 to Ada, attempt 1'])
  })
})
