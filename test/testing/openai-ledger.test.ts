import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { openaiServer, readLedger } from 'perdure/testing'

const ask = (url: string, content: string, stream: boolean) =>
  fetch(`${url}/chat/completions`, {
    method: 'POST',
    body: JSON.stringify({ model: 'm', stream, messages: [{ role: 'user', content }] }),
  }).then(
    (response) => response.text(),
    () => 'no answer',
  )

describe('the ledger file of openaiServer', () => {
  it('has a line per request received and per answer sent, which another process reads', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'perdure-ledger-'))
    try {
      const ledgerFile = join(folder, 'ledger.jsonl')
      assert.deepEqual(readLedger(ledgerFile), [])
      await using server = await openaiServer({ script: ['a', { fault: 'cut', text: 'a b c d' }, 'a'], ledgerFile })
      await ask(server.url, 'first', false)
      await ask(server.url, 'second', true).catch(() => 'cut')
      await ask(server.url, 'first', true)
      const program = `import { readLedger } from 'perdure/testing'; console.log(JSON.stringify(readLedger(${JSON.stringify(ledgerFile)})))`
      const args = ['--conditions=perdure/source', '--input-type=module', '--eval', program]
      const elsewhere: unknown = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
      const [first, second] = server.requests.map((request) => request.key)
      assert.deepEqual(
        readLedger(ledgerFile).map((line) => [line.type, line.number, line.key]),
        [
          ['request.received', 1, first],
          ['answer.sent', 1, first],
          ['request.received', 2, second],
          ['request.received', 3, first],
          ['answer.sent', 3, first],
        ],
      )
      assert.deepEqual(elsewhere, readLedger(ledgerFile))
      assert.match(first ?? '', /^[0-9a-f]{64}$/)
    } finally {
      await rm(folder, { recursive: true })
    }
  })

  it('does not count an answer that its client did not wait for', async () => {
    const asked = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const script = () => {
      asked.resolve()
      return { text: 'late', until: gate.promise }
    }
    const server = await openaiServer({ script })
    const call = ask(server.url, 'first', false)
    await asked.promise
    await server.close()
    gate.resolve()
    assert.equal(await call, 'no answer')
    assert.equal(server.requests[0]?.answered, false)
  })
})
