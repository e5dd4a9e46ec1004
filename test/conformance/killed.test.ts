/**
 * P1, P5: the process dies before, at and after each durable write of each case, for every write; the client sends again what was not
 * acknowledged, under the same event id. The run ends as it would have in plain XState. Would catch: an event that is taken twice or lost, a timer that is
 * lost, a child that is forgotten, a snapshot that does not agree with its timers or its inbox.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AnyEventObject } from 'xstate'
import type { Outcome } from '../support/conformance/case.ts'
import { conformanceCases } from '../support/conformance/cases.ts'
import type { Moment } from '../support/conformance/mortal-store.ts'
import { runKilled } from '../support/conformance/run-killed.ts'
import { runPlain } from '../support/conformance/run-plain.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

/** `heard` is what was emitted, with a gap or without: nothing twice, nothing that never was, nothing out of order. */
function assertPartOf(heard: readonly AnyEventObject[], emitted: readonly AnyEventObject[], message: string): void {
  let at = 0
  for (const event of heard) {
    while (at < emitted.length && !isDeepEqual(event, emitted[at])) at++
    assert.ok(at < emitted.length, `${message}: ${JSON.stringify(heard)} is not a part of ${JSON.stringify(emitted)}`)
    at++
  }
}

function isDeepEqual(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b)
    return true
  } catch {
    return false
  }
}

/** Ends as XState alone does. What was written and not heard of is not told a second time; all else is heard once. */
function assertSame({ final, output, emitted }: Outcome, plain: Outcome, moment: Moment, message: string): void {
  assert.deepEqual(final, plain.final, message)
  assert.deepEqual(output, plain.output, message)
  if (moment === 'lost') assertPartOf(emitted, plain.emitted, message)
  else assert.deepEqual(emitted, plain.emitted, message)
}

const moments: readonly Moment[] = ['before', 'lost', 'after']

for (const moment of moments)
  describe(`a machine whose process dies at any write (${moment}) ends as in plain XState`, { concurrency: 4 }, () => {
    for (const conformanceCase of conformanceCases)
      test(conformanceCase.name, { skip: conformanceCase.lostInRestart ?? false }, async () => {
        const plain = await runPlain(conformanceCase)
        for (let dieAt = 1; ; dieAt++) {
          const { outcome, deaths } = await runKilled(conformanceCase, room.path(), { dieAt, moment })
          assertSame(outcome, plain, moment, `died at write ${dieAt}`)
          if (deaths > 0) continue
          assert.ok(dieAt > 1, 'it died at no write')
          break
        }
      })
  })

for (const moment of ['lost', 'after'] as const)
  describe(`a machine of which every process dies at its first write (${moment}) ends as in plain XState`, {
    concurrency: 4,
  }, () => {
    for (const conformanceCase of conformanceCases)
      test(conformanceCase.name, { skip: conformanceCase.lostInRestart ?? false }, async () => {
        const { outcome, deaths } = await runKilled(conformanceCase, room.path(), { dieAt: 1, moment, again: true })
        assertSame(outcome, await runPlain(conformanceCase), moment, `died ${deaths} times`)
        assert.ok(deaths > 0, 'it died at no write')
      })
  })
