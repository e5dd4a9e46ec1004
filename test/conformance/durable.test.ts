/** P5, P8: a machine in a runtime, also in one that is closed and opened all the time, is the machine that XState alone would run. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Outcome } from '../support/conformance/case.ts'
import { conformanceCases } from '../support/conformance/cases.ts'
import { runDurable } from '../support/conformance/run-durable.ts'
import { runPlain } from '../support/conformance/run-plain.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

const withoutEffects = ({ effects: _, ...outcome }: Outcome): Omit<Outcome, 'effects'> => outcome

describe('a machine in a runtime is after each step what it is in plain XState', () => {
  for (const conformanceCase of conformanceCases)
    test(conformanceCase.name, async () => {
      const outcome = await runDurable(conformanceCase, room.path())
      assert.deepEqual(withoutEffects(outcome), withoutEffects(await runPlain(conformanceCase)))
      conformanceCase.expect(outcome)
    })
})

describe('a machine in a runtime that is closed and opened again after each step is what it is in plain XState', () => {
  for (const conformanceCase of conformanceCases)
    test(conformanceCase.name, { skip: conformanceCase.lostInRestart ?? false }, async () => {
      const outcome = await runDurable(conformanceCase, room.path(), { reopened: true })
      assert.deepEqual(withoutEffects(outcome), withoutEffects(await runPlain(conformanceCase)))
    })
})
