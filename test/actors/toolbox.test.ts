import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { type Tool, tool } from '../../src/actors/tool.ts'
import { buildTools, type ToolboxOptions } from '../../src/actors/toolbox.ts'
import { isPerdureError, type PerdureErrorCode } from '../../src/errors.ts'

const named = (name: string): Tool => tool({ name, description: name, input: z.object({}), run: () => name })

const names = (tools: readonly Tool[]) => tools.map(({ name }) => name)

const fails = (code: PerdureErrorCode, message: RegExp) => (error: unknown) => {
  assert.ok(isPerdureError(error, code), String(error))
  assert.match(error.message, message)
  return true
}

test('exactly the tools that are named are built, in that order', () => {
  const tools = [named('a'), named('b'), named('c')]
  assert.deepEqual(names(buildTools(['c', 'exec', 'a'], { tools })), ['c', 'exec', 'a'])
  assert.deepEqual(buildTools([], { tools }), [])
  assert.deepEqual(names(buildTools(new Set(['b']), { tools })), ['b'])
  assert.equal(buildTools(['b'], { tools })[0], tools[1])
})

test('the function of a tool that is not named is never called, and of one that is, once', () => {
  const calls: string[] = []
  const factory = (name: string) => () => {
    calls.push(name)
    return named(name)
  }
  const tools = { read: factory('read'), write: factory('write'), ready: named('ready') }
  assert.deepEqual(names(buildTools(['write', 'ready'], { tools })), ['write', 'ready'])
  assert.deepEqual(calls, ['write'])
})

test('no function is called when a name is wrong', () => {
  const tools = { read: () => assert.fail('called') }
  assert.throws(() => buildTools(['read', 'nope'], { tools }), fails('TOOL_UNKNOWN', /`nope`/))
})

test('an unknown name is refused with the nearest and all known ones', () => {
  assert.throws(
    () => buildTools(['raed_file'], { tools: [named('read_file'), named('write')] }),
    fails(
      'TOOL_UNKNOWN',
      /^Tool `raed_file` \(did you mean `read_file`\?\) is not known\. Known: `exec`, `askHuman`, `read_file`, `write`\. Name one of these, or add it to `tools`\.$/,
    ),
  )
  assert.throws(
    () => buildTools(['Exec', 'zzzzzz']),
    fails('TOOL_UNKNOWN', /^Tool `Exec` \(did you mean `exec`\?\), `zzzzzz` are not known/),
  )
})

for (const name of ['__proto__', 'constructor', 'toString', '']) {
  test(`a name that every object has is not a tool: ${JSON.stringify(name)}`, () => {
    assert.throws(() => buildTools([name], { tools: {} }), fails('TOOL_UNKNOWN', /is not known/))
  })
}

test('a name that is given twice is refused, wherever', () => {
  const duplicate = (message: RegExp) => fails('TOOL_DUPLICATE', message)
  assert.throws(() => buildTools(['exec', 'exec']), duplicate(/`exec` is given twice: `allowedTools` names it twice/))
  assert.throws(() => buildTools([], { tools: [named('a'), named('a')] }), duplicate(/`a` is given twice: two of `tools`/))
  assert.throws(() => buildTools([], { tools: [named('exec')] }), duplicate(/`exec` is given twice: it is built in/))
  assert.throws(() => buildTools(['exec'], { tools: { exec: () => named('exec') } }), duplicate(/it is built in/))
})

test('a tool with another name than its key is a TypeError', () => {
  const message = { name: 'TypeError', message: 'Expected `tools.a` to be a tool named `a`, got one named `b` (string)' }
  assert.throws(() => buildTools(['a'], { tools: { a: () => named('b') } }), message)
  assert.throws(() => buildTools([], { tools: { a: named('b') } }), message)
})

test('something that is not a tool is a TypeError', () => {
  // The types forbid what the checks must catch.
  const build = (tools: unknown) => () => buildTools(['a'], { tools } as ToolboxOptions)
  assert.throws(build({ a: () => Promise.resolve(named('a')) }), {
    name: 'TypeError',
    message: /^Expected `tools\.a` to be a tool or a function/,
  })
  assert.throws(build({ a: 7 }), { name: 'TypeError', message: /got `7` \(number\)$/ })
  assert.throws(build([{ name: 'a' }]), { name: 'TypeError', message: /^Expected `tools\[0\]` to be a tool, got an object$/ })
  assert.throws(build('exec'), { name: 'TypeError', message: /^Expected `tools` to be an array or an object of tools/ })
})

test('an error of a factory is thrown as it is', () => {
  const error = new Error('no database')
  const tools = {
    a: () => {
      throw error
    },
  }
  assert.throws(() => buildTools(['a'], { tools }), error)
})

test('the built-in exec gets its options', () => {
  assert.throws(() => buildTools(['exec'], { exec: { timeoutMs: 0 } }), { name: 'TypeError', message: /`timeoutMs`/ })
  assert.deepEqual(buildTools([], { exec: { timeoutMs: 0 } }), [])
})
