import type { ModelRequest } from 'perdure'
import type { ScriptedAnswer } from 'perdure/testing'

/**
 * Stands in for a model where no key is set: it reads the conversation and decides, so its report follows what the commands
 * really printed. The same conversation always gets the same answer.
 */
export function repositoryAnalyst({ messages }: ModelRequest): ScriptedAnswer {
  const sinceUser = messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1)
  const outputs = sinceUser.flatMap((message) => (message.role === 'tool' ? [readOutput(message.content)] : []))
  const prompt = messages.findLast(({ role }) => role === 'user')?.content ?? ''
  if (!prompt.startsWith('Look')) return { text: writeReport(messages) }
  if (outputs.length === 0) return { text: 'I will look at the files first.', toolCalls: [exec('ls -A'), exec(FIND_FILES)] }
  if (outputs.length === 2) {
    const readme = /^readme[^\n]*$/im.exec(outputs[0] ?? '')?.[0]
    return { toolCalls: [exec(COUNT_LINES), exec(readme === undefined ? 'pwd' : `head -n 5 '${readme}'`)] }
  }
  const [entries = '', files = '', lines = '', head = ''] = outputs
  const kinds = countKinds(files)
  return {
    text: [
      `Entries at the top: ${entries.split('\n').filter(Boolean).length}.`,
      `Files: ${files.split('\n').filter(Boolean).length}, by kind: ${kinds}.`,
      `Lines in all: ${/\d+/.exec(lines)?.[0] ?? 'unknown'}.`,
      `It introduces itself as: ${
        head
          .split('\n')
          .find(Boolean)
          ?.replace(/^#+\s*/, '') ?? 'nothing'
      }`,
    ].join('\n'),
  }
}

const SKIPPED = String.raw`\( -name node_modules -o -name .git -o -name dist -o -name '.perdure*' \) -prune -o -type f`
const FIND_FILES = `find . ${SKIPPED} -print | sort | head -n 2000`
const COUNT_LINES = `find . ${SKIPPED} -print0 | xargs -0 cat | wc -l`

const exec = (command: string) => ({ name: 'exec', arguments: { command } })

/** The standard output in the result of `exec`. */
function readOutput(content: string): string {
  try {
    return (JSON.parse(content) as { stdout?: string }).stdout ?? '' // the shape of exec's result
  } catch {
    return content
  }
}

function countKinds(files: string): string {
  const counts = new Map<string, number>()
  for (const file of files.split('\n').filter(Boolean)) {
    const kind = /\.([a-z0-9]+)$/i.exec(file)?.[1] ?? 'none'
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  const most = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, 5)
  return most.map(([kind, count]) => `${count} ${kind}`).join(', ') || 'none'
}

function writeReport(messages: ModelRequest['messages']): string {
  const found = messages.findLast((message) => message.role === 'assistant' && message.toolCalls.length === 0)?.content ?? ''
  const bullets = found.split('\n').filter(Boolean)
  return ['Report on this repository', '', ...bullets.map((line) => `- ${line}`)].join('\n')
}
