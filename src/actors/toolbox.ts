import { PerdureError } from '../errors.ts'
import { type AskHumanOptions, askHumanTool } from './ask-human.ts'
import { type ExecOptions, execTool } from './exec.ts'
import { nearest } from './nearest.ts'
import type { Tool } from './tool.ts'
import { isRecord } from './tool-result.ts'
import { toArgumentError, toValueText } from './value-text.ts'

/** Tools by name, as they are or as functions that make them when they are needed. */
type ToolRecord = Readonly<Record<string, Tool | (() => Tool)>>

/** What {@link buildTools} chooses from. */
export interface ToolboxOptions {
  /** Your own tools, besides the built-in `exec` and `askHuman`. Default: none. */
  readonly tools?: readonly Tool[] | ToolRecord | undefined
  /** How the built-in `exec` runs commands. */
  readonly exec?: ExecOptions | undefined
  /** How the built-in `askHuman` asks. */
  readonly askHuman?: Omit<AskHumanOptions, 'name'> | undefined
}

/**
 * Builds exactly the tools that are named, in that order. The function of a tool that is not named is never called.
 *
 * @throws PerdureError `TOOL_UNKNOWN` when a name is not known; the message lists those that are.
 * @throws PerdureError `TOOL_DUPLICATE` when a name is asked for twice, or two tools have it: `exec` and `askHuman` are taken.
 * @throws TypeError when an entry of `tools` is not a tool, or has another name than its key.
 */
export function buildTools(allowedTools: Iterable<string>, options: ToolboxOptions = {}): readonly Tool[] {
  const factories = new Map<string, () => unknown>([
    ['exec', () => execTool(options.exec)],
    ['askHuman', () => askHumanTool(options.askHuman)],
  ])
  const builtIn = new Set(factories.keys())
  for (const [name, factory] of toEntries(options.tools ?? [])) {
    if (factories.has(name)) throw toDuplicate(name, builtIn.has(name) ? 'it is built in' : 'two of `tools` have this name')
    factories.set(name, factory)
  }
  const names = [...allowedTools]
  for (const [index, name] of names.entries())
    if (typeof name !== 'string') throw toArgumentError(`allowedTools[${index}]`, 'the name of a tool', name)
  for (const [index, name] of names.entries()) {
    if (names.indexOf(name) !== index) throw toDuplicate(name, '`allowedTools` names it twice')
  }
  const unknown = names.filter((name) => !factories.has(name))
  if (unknown.length > 0) throw toUnknown(unknown, [...factories.keys()])
  return names.map((name) => checkTool(factories.get(name)?.(), name))
}

function toEntries(tools: readonly Tool[] | ToolRecord): (readonly [string, () => unknown])[] {
  if (isList(tools)) {
    return tools.map((tool, index) => {
      if (!isTool(tool)) throw toArgumentError(`tools[${index}]`, 'a tool', tool)
      return [tool.name, () => tool]
    })
  }
  if (!isRecord(tools)) throw toArgumentError('tools', 'an array or an object of tools', tools)
  return Object.entries(tools).map(([key, tool]) => {
    if (typeof tool === 'function') return [key, tool]
    checkTool(tool, key)
    return [key, () => tool]
  })
}

function checkTool(tool: unknown, name: string): Tool {
  if (!isTool(tool)) throw toArgumentError(`tools.${name}`, 'a tool or a function that returns one', tool)
  if (tool.name === name) return tool
  throw new TypeError(`Expected \`tools.${name}\` to be a tool named \`${name}\`, got one named ${toValueText(tool.name)}`)
}

function isTool(value: unknown): value is Tool {
  return isRecord(value) && typeof value.name === 'string' && typeof value.execute === 'function' && isRecord(value.parameters)
}

/** `Array.isArray` does not narrow read-only arrays. */
function isList(tools: readonly Tool[] | ToolRecord): tools is readonly Tool[] {
  return Array.isArray(tools)
}

function toDuplicate(name: string, reason: string): PerdureError {
  return new PerdureError('TOOL_DUPLICATE', `Tool \`${name}\` is given twice: ${reason}. Remove or rename one.`, {
    details: { name },
  })
}

function toUnknown(names: readonly string[], known: readonly string[]): PerdureError {
  const subjects = names.map((name) => {
    const meant = nearest(name, known)
    return `\`${name}\`${meant === undefined ? '' : ` (did you mean \`${meant}\`?)`}`
  })
  const verb = names.length === 1 ? 'is' : 'are'
  const list = known.map((name) => `\`${name}\``).join(', ')
  const message = `Tool ${subjects.join(', ')} ${verb} not known. Known: ${list}. Name one of these, or add it to \`tools\`.`
  return new PerdureError('TOOL_UNKNOWN', message, { details: { names, known } })
}
