import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as perdure from 'perdure'
import * as client from 'perdure/client'
import * as observe from 'perdure/observe'
import * as otel from 'perdure/otel'
import * as replay from 'perdure/replay'
import * as testing from 'perdure/testing'

/** What the package exports at run time. A name here is a promise: taking one away is a major change. */
const surface = {
  perdure: [
    'PerdureError',
    'Profile',
    'agentMachine',
    'askHumanTool',
    'buildAgent',
    'buildTools',
    'doctor',
    'execTool',
    'fromStep',
    'isPerdureError',
    'isSuspension',
    'openLevelStore',
    'openMemoryStore',
    'openRuntime',
    'openaiModel',
    'parseProfile',
    'sendToRun',
    'tool',
  ],
  'perdure/client': ['connect'],
  'perdure/observe': ['createLedger', 'createReporter', 'toMermaid', 'toStudioJson'],
  'perdure/otel': ['createIdGenerator', 'traceRuntime'],
  'perdure/replay': ['diffRuns', 'formatDiff', 'readExport', 'readRecording', 'replayRun'],
  'perdure/testing': [
    'createTestModel',
    'expectReplay',
    'exploreCrashes',
    'openaiServer',
    'readLedger',
    'scriptedModel',
    'storeContract',
    'testClock',
    'testModel',
    'toConversationKey',
  ],
}

test('`perdure` exports exactly the names that are promised', () => {
  assert.deepEqual(Object.keys(perdure).toSorted(), surface.perdure)
})

test('`perdure/client` exports exactly the names that are promised', () => {
  assert.deepEqual(Object.keys(client).toSorted(), surface['perdure/client'])
})

test('`perdure/observe` exports exactly the names that are promised', () => {
  assert.deepEqual(Object.keys(observe).toSorted(), surface['perdure/observe'])
})

test('`perdure/otel` exports exactly the names that are promised', () => {
  assert.deepEqual(Object.keys(otel).toSorted(), surface['perdure/otel'])
})

test('`perdure/replay` exports exactly the names that are promised', () => {
  assert.deepEqual(Object.keys(replay).toSorted(), surface['perdure/replay'])
})

test('`perdure/testing` exports exactly the names that are promised', () => {
  assert.deepEqual(Object.keys(testing).toSorted(), surface['perdure/testing'])
})
