import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { type OpenAIModelOptions, toConfiguration } from '../../../src/actors/openai/configuration.ts'
import { isPerdureError } from '../../../src/errors.ts'

const key = 'sk-test'

test('without a key and a base URL the model says at once what to set', () => {
  for (const env of [{}, { OPENAI_API_KEY: ' ', OPENAI_BASE_URL: '' }]) {
    assert.throws(
      () => toConfiguration({}, env),
      (error) => isPerdureError(error, 'MODEL_NOT_CONFIGURED') && /OPENAI_API_KEY.*OPENAI_BASE_URL/.test(error.message),
    )
  }
})

test('OpenAI is spoken to by the Responses API, any other server by Chat Completions, unless told otherwise', () => {
  const read = (options: OpenAIModelOptions, env = {}) => {
    const { api, maxTokensField, host, isOpenai } = toConfiguration(options, env)
    return [api, maxTokensField, host, isOpenai]
  }
  assert.deepEqual(read({ apiKey: key }), ['responses', 'max_completion_tokens', 'api.openai.com', true])
  assert.deepEqual(read({}, { OPENAI_API_KEY: key }), ['responses', 'max_completion_tokens', 'api.openai.com', true])
  assert.equal(read({ apiKey: key, baseUrl: 'https://eu.api.openai.com/v1' })[0], 'responses')
  assert.equal(read({ apiKey: key, baseUrl: 'https://api.openai.com.evil.example/v1' })[0], 'chat')
  assert.deepEqual(read({}, { OPENAI_BASE_URL: 'http://localhost:11434/v1' }), ['chat', 'max_tokens', 'localhost:11434', false])
  assert.equal(read({ baseUrl: 'http://localhost:1/v1', api: 'responses' })[0], 'responses')
})

test('an option goes before the environment, and a server of one’s own needs no key', () => {
  const env = { OPENAI_API_KEY: 'from-env\n', OPENAI_BASE_URL: 'http://env/v1' }
  assert.equal(toConfiguration({}, env).apiKey, 'from-env')
  assert.equal(toConfiguration({ apiKey: key, baseUrl: 'http://option/v1' }, env).apiKey, key)
  assert.equal(toConfiguration({ baseUrl: 'http://option/v1' }, env).host, 'option')
  const keyless = toConfiguration({ baseUrl: 'http://option/v1' }, {})
  assert.notEqual(keyless.apiKey, '')
  assert.deepEqual(keyless.secrets, [])
})

test('a key or base URL that cannot work is refused without being shown', () => {
  const wrong: OpenAIModelOptions[] = [
    { apiKey: 'sk-te st' },
    { apiKey: 'sk-•••' },
    { apiKey: key, baseUrl: 'sk-test' },
    { apiKey: key, baseUrl: 'ftp://sk-test/' },
    { apiKey: key, baseUrl: 'http://u:sk-test@host/v1' },
    { baseUrl: 'https://api.openai.com/v1' },
  ]
  for (const options of wrong) {
    assert.throws(
      () => toConfiguration(options, {}),
      (error) => isPerdureError(error, 'MODEL_NOT_CONFIGURED') && !error.message.includes('sk-te'),
    )
  }
})

test('a wrong number is a TypeError that names it', () => {
  assert.throws(() => toConfiguration({ apiKey: key, timeoutMs: 0 }, {}), /Expected `timeoutMs` .* got `0` \(number\)/)
  assert.throws(() => toConfiguration({ apiKey: key, maxRetries: 1.5 }, {}), TypeError)
})

test('a key in the query of the base URL is a secret', () => {
  const { secrets } = toConfiguration({ baseUrl: 'http://gate/v1?api-key=hush&api-version=1' }, {})
  assert.deepEqual(secrets, ['hush'])
})

test('importing the model loads neither the SDK nor the price list', () => {
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ resolve(name, context, next) { loaded.push(name); return next(name, context) } })
    const { openaiModel } = await import(${JSON.stringify(new URL('../../../src/actors/openai/model.ts', import.meta.url).href)})
    openaiModel({ apiKey: 'sk-test' })
    console.log(JSON.stringify(loaded.filter((name) => /^openai|genai-prices/.test(name))))`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  assert.equal(child.stdout.trim(), '[]', child.stderr)
})
