/** How events are told: for a person, for a program, not at all. */
export type LogFormat = 'pretty' | 'json' | 'silent'

const formats: readonly unknown[] = ['pretty', 'json', 'silent'] satisfies LogFormat[]

/** Tells a {@link LogFormat} from any other value. */
export const isLogFormat = (value: unknown): value is LogFormat => formats.includes(value)
