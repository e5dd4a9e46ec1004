/**
 * A program for tests: owns the store in argv[2] with the crew of `managed-crew.ts`, says `ready`, and has it open until its input ends. With `wait` as argv[3] it
 * begins nothing.
 */
import { writeSync } from 'node:fs'
import { openCrew, runCrew } from './managed-crew.ts'

const [, , directory = '', mode] = process.argv
const runtime = await openCrew(directory)
if (mode !== 'wait') await runCrew(runtime)
writeSync(1, 'ready\n')
process.stdin.resume()
process.stdin.once('end', () => void runtime.close())
