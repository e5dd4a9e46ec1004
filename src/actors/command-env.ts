// Keeps P11: a command gets these variables and no others, so an API key in ours never reaches it by its environment.

const allowed = new Set(
  [
    ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'LANG', 'LANGUAGE', 'TERM', 'TZ', 'TMPDIR', 'TMP', 'TEMP'],
    ['SystemRoot', 'SystemDrive', 'windir', 'ComSpec', 'PATHEXT', 'OS', 'USERNAME', 'USERPROFILE', 'HOMEDRIVE', 'HOMEPATH'],
    ['APPDATA', 'LOCALAPPDATA', 'ProgramData', 'ProgramFiles', 'ProgramFiles(x86)', 'ProgramW6432', 'CommonProgramFiles'],
    ['NUMBER_OF_PROCESSORS', 'PROCESSOR_ARCHITECTURE'],
  ]
    .flat()
    .map((name) => name.toUpperCase()),
)

const isWindows = process.platform === 'win32'

/**
 * The environment of a command: of ours the variables that programs need to run (search path, home, language, time zone,
 * temporary folder, and what Windows needs), and `extra`, which wins.
 */
export function toCommandEnv(
  extra: Readonly<Record<string, string>> = {},
  from: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && isAllowed(name)) env[name] = value
  }
  return { ...env, ...extra }
}

function isAllowed(name: string): boolean {
  // Only on Windows does `Path` mean `PATH`.
  return allowed.has(isWindows ? name.toUpperCase() : name) || /^LC_[A-Z]+$/.test(name)
}
