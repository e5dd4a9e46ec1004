import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ParsedProfile, Profile, parseProfile } from '../../src/actors/profile.ts'
import { isPerdureError, type PerdureError } from '../../src/errors.ts'

const smallest = { name: 'default', systemPrompt: 'Be helpful.', model: 'gpt-5.1' }

function refusal(value: unknown): PerdureError {
  try {
    parseProfile(value)
  } catch (error) {
    assert.ok(isPerdureError(error, 'PROFILE_INVALID'), String(error))
    return error
  }
  return assert.fail('the profile was accepted')
}

const defaults = { maxParallel: 16, onLimit: 'fail', maxRepairs: 2 } as const

test('a profile gets no tools and 50 steps when it does not say', () => {
  assert.deepEqual(parseProfile(smallest), { ...smallest, allowedTools: [], maxSteps: 50, ...defaults })
})

test('a profile is copied as it is when it says everything', () => {
  const profile = {
    ...smallest,
    name: 'A.b_c-9',
    systemPrompt: '',
    allowedTools: ['exec', 'read_file'],
    settings: { temperature: 0, topP: 1, maxOutputTokens: 1, reasoningEffort: 'xhigh', parallelToolCalls: false },
    maxSteps: 1,
    maxParallel: 2,
    limits: { steps: 3, tokens: 1_000, costUsd: 0.5, wallTimeMs: 60_000 },
    runLimits: { costUsd: 5 },
    onLimit: 'ask',
    maxRepairs: 0,
  } satisfies Profile
  const parsed = parseProfile(profile)
  assert.deepEqual(parsed, profile)
  assert.notEqual(parsed.allowedTools, profile.allowedTools)
})

test('the schema itself is strict', () => {
  assert.equal(Profile.safeParse({ ...smallest, colour: 'red' }).success, false)
})

const refused: readonly (readonly [title: string, change: Record<string, unknown>, message: string])[] = [
  [
    'a name that is empty',
    { name: '' },
    'The profile is invalid: `name`: Expected 1 to 64 letters, digits, `.`, `_` or `-`, got `` (string)',
  ],
  [
    'a name with a slash',
    { name: 'a/b' },
    'Profile `a/b` is invalid: `name`: Expected 1 to 64 letters, digits, `.`, `_` or `-`, got `a/b` (string)',
  ],
  [
    'a name with a line feed at its end',
    { name: 'a\n' },
    'Profile `a\\n` is invalid: `name`: Expected 1 to 64 letters, digits, `.`, `_` or `-`, got `a\\n` (string)',
  ],
  ['a blank model', { model: ' ' }, 'Profile `default` is invalid: `model`: Expected the name of a model, got ` ` (string)'],
  [
    'no system prompt',
    { systemPrompt: undefined },
    'Profile `default` is invalid: `systemPrompt`: Invalid input: expected string, got nothing',
  ],
  ['zero steps', { maxSteps: 0 }, 'Profile `default` is invalid: `maxSteps`: Expected an integer ≥ 1, got `0` (number)'],
  ['half a step', { maxSteps: 1.5 }, 'Profile `default` is invalid: `maxSteps`: Expected an integer ≥ 1, got `1.5` (number)'],
  [
    'a step limit that is not a number',
    { maxSteps: Number.NaN },
    'Profile `default` is invalid: `maxSteps`: Expected an integer ≥ 1, got `NaN` (number)',
  ],
  [
    'a tool named twice',
    { allowedTools: ['exec', 'exec'] },
    'Profile `default` is invalid: `allowedTools[1]`: Expected each tool once, got `exec` again',
  ],
  [
    'a tool that has no possible name',
    { allowedTools: ['rm -rf'] },
    'Profile `default` is invalid: `allowedTools[0]`: Expected the name of a tool: 1 to 64 letters, digits, `_` or `-`, got `rm -rf` (string)',
  ],
  [
    'tools in a set',
    { allowedTools: new Set(['exec']) },
    'Profile `default` is invalid: `allowedTools`: Invalid input: expected array, got an object',
  ],
  ['an unknown setting', { settings: { temprature: 1 } }, 'Profile `default` is invalid: `settings`: Unknown key `temprature`'],
  [
    'a setting out of range',
    { settings: { temperature: 3 } },
    'Profile `default` is invalid: `settings.temperature`: Too big: expected number to be <=2, got `3` (number)',
  ],
  ['a misspelt key', { maxStep: 5 }, 'Profile `default` is invalid: Unknown key `maxStep` (did you mean `maxSteps`?)'],
]

for (const [title, change, message] of refused) {
  test(`a profile with ${title} is refused`, () => {
    assert.equal(refusal({ ...smallest, ...change }).message, message)
  })
}

test('a refusal lists every issue, in words and as data', () => {
  const error = refusal({ name: 'default', systemPrompt: 1, model: '', allowedTools: [2], tools: [] })
  assert.equal(
    error.message,
    [
      'Profile `default` is invalid:',
      '- `systemPrompt`: Invalid input: expected string, got `1` (number)',
      '- `model`: Expected the name of a model, got `` (string)',
      '- `allowedTools[0]`: Invalid input: expected string, got `2` (number)',
      '- Unknown key `tools`',
    ].join('\n'),
  )
  assert.deepEqual(JSON.parse(JSON.stringify(error.details.issues))[0], {
    path: 'systemPrompt',
    message: 'Invalid input: expected string, got `1` (number)',
  })
  assert.equal((error.details.issues as readonly unknown[]).length, 4)
})

test('the value of an unknown key, which may be a secret, is not in the refusal', () => {
  const error = refusal({ ...smallest, apiKey: 'sk-canary', settings: { apiKey: 'sk-canary' } })
  assert.doesNotMatch(JSON.stringify(error), /canary/)
  assert.match(error.message, /`apiKey`/)
})

for (const value of [undefined, null, 'default', 7, [], () => smallest]) {
  test(`something that is no object is refused: ${typeof value} ${JSON.stringify(value)}`, () => {
    assert.match(refusal(value).message, /^The profile is invalid: Invalid input: expected object, got /)
  })
}

test('a long value is cut in the refusal', () => {
  assert.ok(refusal({ ...smallest, name: 'x'.repeat(10_000) }).message.length < 400)
})

test('the types of a profile are those of the schema', () => {
  const written: Profile = smallest
  const parsed: ParsedProfile = parseProfile(written)
  const steps: number = parsed.maxSteps
  const tools: readonly string[] = parsed.allowedTools
  assert.deepEqual([steps, tools], [50, []])
  // @ts-expect-error: a profile has a model
  const noModel: Profile = { name: 'a', systemPrompt: '' }
  // @ts-expect-error: an unknown key
  const unknownKey: Profile = { ...smallest, colour: 'red' }
  // @ts-expect-error: not an effort
  const effort: Profile = { ...smallest, settings: { reasoningEffort: 'huge' } }
  // @ts-expect-error: a parsed profile is read-only
  const change = () => parsed.allowedTools.push('exec')
  assert.ok(noModel && unknownKey && effort && change)
})
