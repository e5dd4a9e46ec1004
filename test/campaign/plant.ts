/**
 * Puts the bug that the variable `PLANTED_BUG` names into the sources as they are loaded, and explores its subject: every write, in one process. Prints the counts.
 * Preloaded (`--import`) it only plants: so do the processes that this one starts.
 */
import { registerHooks } from 'node:module'
import { plantedBugs } from './planted-bugs.ts'

const bug = plantedBugs.find(({ name }) => name === process.env.PLANTED_BUG)
if (bug === undefined) throw new Error(`There is no planted bug \`${process.env.PLANTED_BUG}\``)
const { edits } = bug
const toUrl = (file: string): string => new URL(`../../src/${file}`, import.meta.url).href

registerHooks({
  load(loaded, context, nextLoad) {
    const result = nextLoad(loaded, context)
    const own = edits.filter(([file]) => toUrl(file) === loaded)
    if (own.length === 0) return result
    let source = String(result.source)
    for (const [file, original, planted] of own) {
      if (!source.includes(original)) throw new Error(`\`${file}\` does not contain \`${original}\` any more: plant another bug`)
      source = source.replace(original, () => planted)
    }
    return { ...result, source }
  },
})
