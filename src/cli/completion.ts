import type { Command } from 'commander'

/** The shells whose completion there is. */
export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** A script that makes a shell complete the commands of `program`, their options, and the ids of runs. */
export function toCompletion(shell: Shell, program: Command): string {
  const commands = program.commands.filter((command) => !isHidden(command)).map(toCompleted)
  switch (shell) {
    case 'bash':
      return toBash(commands)
    case 'zsh':
      return `autoload -Uz bashcompinit && bashcompinit\n${toBash(commands)}`
    case 'fish':
      return toFish(commands)
  }
}

interface Completed {
  readonly name: string
  readonly description: string
  readonly options: readonly { readonly flag: string; readonly description: string }[]
  /** Its first argument is the id of a run. */
  readonly takesRun: boolean
}

// Not in the types of a command, but how it is told that it is not to be shown.
const isHidden = (command: Command): boolean => (command as Command & { readonly _hidden?: boolean })._hidden === true

function toCompleted(command: Command): Completed {
  const [first] = command.registeredArguments
  return {
    name: command.name(),
    description: command.summary() || command.description(),
    options: command.options.flatMap(({ long, description }) => (long == null ? [] : [{ flag: long, description }])),
    takesRun: first?.name() === 'run',
  }
}

function toBash(commands: readonly Completed[]): string {
  const names = commands.map(({ name }) => name).join(' ')
  const options = commands.map(
    ({ name, options: own }) => `    ${name}) words="${[...own.map(({ flag }) => flag), '--help'].join(' ')}" ;;`,
  )
  const withRun = commands.filter(({ takesRun }) => takesRun).map(({ name }) => name)
  return `_perdure() {
  local current="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} --help --version" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    --dir|--app|--ledger) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  case "$command" in
${options.join('\n')}
  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")); return ;;
  esac
  if [ "$COMP_CWORD" -eq 2 ]; then
    case "$command" in
      ${withRun.join('|')}) COMPREPLY=($(compgen -W "$(perdure run-ids 2>/dev/null)" -- "$current")) ;;
      completion) COMPREPLY=($(compgen -W "${shells.join(' ')}" -- "$current")) ;;
    esac
  fi
}
complete -o default -F _perdure perdure
`
}

function toFish(commands: readonly Completed[]): string {
  const quote = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`
  const lines = commands.flatMap(({ name, description, options, takesRun }) => [
    `complete -c perdure -n __fish_use_subcommand -a ${name} -d ${quote(description)}`,
    ...options.map(
      ({ flag, description: about }) =>
        `complete -c perdure -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)} -d ${quote(about)}`,
    ),
    ...(takesRun ? [`complete -c perdure -n '__fish_seen_subcommand_from ${name}' -a '(perdure run-ids 2>/dev/null)'`] : []),
  ])
  return `complete -c perdure -f\n${lines.join('\n')}\n`
}
