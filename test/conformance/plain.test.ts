import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { conformanceCases } from '../support/conformance/cases.ts'
import { runPlain } from '../support/conformance/run-plain.ts'

describe('the conformance cases in plain XState', () => {
  for (const conformanceCase of conformanceCases)
    test(conformanceCase.name, async () => {
      conformanceCase.expect(await runPlain(conformanceCase))
    })

  test('are many, and no two have the same name', () => {
    const names = conformanceCases.map(({ name }) => name)
    assert.ok(names.length >= 34, `only ${names.length}`)
    assert.equal(new Set(names).size, names.length)
  })

  test('run the same way a second time', async () => {
    for (const conformanceCase of conformanceCases)
      assert.deepEqual(await runPlain(conformanceCase), await runPlain(conformanceCase), conformanceCase.name)
  })
})
