/** Explores one program of the campaign, each of its writes, in one process. Prints the counts. */
import { runCampaign, toTotals } from './campaign.ts'
import { findSubject } from './subjects.ts'

const results = await runCampaign({
  seed: 1,
  scenarios: 1,
  deaths: 0,
  workers: 1,
  subjects: [findSubject(process.argv[2] ?? '')],
})
console.log(JSON.stringify(toTotals(results)))
