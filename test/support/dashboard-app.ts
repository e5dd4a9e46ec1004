/** A program for tests: owns the store in argv[2] with the crew of `dashboard-crew.ts`, in its first or second life (argv[3]), until its input ends. */
import { writeSync } from 'node:fs'
import { beginLife, goOn, openDashboardCrew, setLife } from './dashboard-crew.ts'

const [, , directory = '', life = 'first'] = process.argv
setLife(life === 'first' ? 'first' : 'second')
const runtime = await openDashboardCrew(directory)
if (life === 'first') await beginLife(runtime)
else await goOn(runtime)
writeSync(1, 'ready\n')
process.stdin.resume()
process.stdin.once('end', () => void runtime.close())
