/** What typedoc is told beside its options: how pages are called, and which type is too long to be read. */
import { Converter, ReferenceType, ReflectionKind } from 'typedoc'

/** The order in which guides are read; pages that are not named here follow by name. */
const order = [
  'durable-agent',
  'any-machine',
  'people',
  'in-doubt',
  'deploys',
  'testing',
  'testing-crashes',
  'testing-models',
  'replay',
  'operate',
  'dashboard',
  'limits',
]
const places = new Map()

/** A page is called by its heading, as where it is read without a site. */
function nameByHeading(_context, page) {
  const before = page.content.findIndex(({ kind, text }) => kind === 'text' && text.includes('\n'))
  const line = page.content.slice(0, before + 1).map(({ text }) => text)
  const [, heading] = /^# (.+)\n/.exec(line.join('')) ?? []
  if (heading === undefined) throw new Error(`docs/${page.name}.md does not begin with a heading`)
  places.set(page, order.includes(page.name) ? order.indexOf(page.name) : order.length)
  page.name = heading.replaceAll('`', '')
}

/** The agent's machine is shown by the name of its type: what XState infers of it has hundreds of lines, and tells nothing that one would write. */
function shortenMachine({ project }) {
  for (const machine of project.getReflectionsByKind(ReflectionKind.Variable))
    if (machine.name === 'agentMachine') machine.type = ReferenceType.createBrokenReference('AgentMachine', project, 'perdure')
}

function sortPages({ project }) {
  project.documents?.sort((a, b) => places.get(a) - places.get(b))
}

export function load(app) {
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, nameByHeading)
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, shortenMachine)
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, sortPages)
}
