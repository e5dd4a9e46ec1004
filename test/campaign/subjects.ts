import { readdirSync } from 'node:fs'

/** The programs of the campaign: one for each module in `subjects`, and machines that nobody has written. */
export interface CampaignSubject {
  /** `flows/sleep`, `machines/random-7`. */
  readonly name: string
  readonly kind: SubjectKind
  /** The module that exports it. */
  readonly url: string
}

export const subjectKinds = ['agents', 'flows', 'machines'] as const
export type SubjectKind = (typeof subjectKinds)[number]

const folder = new URL('./subjects/', import.meta.url)

export function listSubjects(): CampaignSubject[] {
  return subjectKinds.flatMap((kind) =>
    readdirSync(new URL(kind, folder))
      .filter((file) => file.endsWith('.ts') && file !== 'random.ts')
      .sort()
      .map((file) => {
        const url = new URL(`${kind}/${file}`, folder).href
        return { name: `${kind}/${file.slice(0, -3)}`, kind, url }
      }),
  )
}

export function toRandomSubject(seed: number): CampaignSubject {
  const url = new URL(`machines/random.ts?seed=${seed}`, folder).href
  return { name: `machines/random-${seed}`, kind: 'machines', url }
}

/** Errors: an `Error` when there is no such subject. */
export function findSubject(name: string): CampaignSubject {
  const [, seed] = /^machines\/random-(\d+)$/.exec(name) ?? []
  if (seed !== undefined) return toRandomSubject(Number(seed))
  const subjects = listSubjects()
  const subject = subjects.find((one) => one.name === name)
  if (subject === undefined)
    throw new Error(
      `There is no subject \`${name}\`. There are: ${subjects.map((one) => one.name).join(', ')}, machines/random-<seed>`,
    )
  return subject
}
