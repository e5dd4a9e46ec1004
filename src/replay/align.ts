/** Two that belong together, or one that has no counterpart. */
export type Aligned<T> =
  | { readonly a: T; readonly b: T }
  | { readonly a: T; readonly b: undefined }
  | { readonly a: undefined; readonly b: T }

/** Up to how many comparisons are made. Beyond, what is in the same place belongs together. */
const MAX_COMPARISONS = 4_000_000

/**
 * The items of two lists in their order, put together so that the sum of `likeness` is the highest: a longest common subsequence, where it is 1 for equal ones. Those with a
 * likeness of 0 are never put together; `most` is the highest there is.
 */
export function align<T extends object>(
  a: readonly T[],
  b: readonly T[],
  likeness: (a: T, b: T) => number,
  most: number,
): readonly Aligned<T>[] {
  const pairs = zip(a, b).map(({ a: x, b: y }) => x !== undefined && y !== undefined && likeness(x, y) === most)
  const start = pairs.includes(false) ? pairs.indexOf(false) : pairs.length
  let end = 0
  for (; end < Math.min(a.length, b.length) - start; end++) {
    const [x, y] = [a.at(-1 - end), b.at(-1 - end)]
    if (x === undefined || y === undefined || likeness(x, y) !== most) break
  }
  const [left, right] = [a.slice(start, a.length - end), b.slice(start, b.length - end)]
  const between =
    left.length * right.length > MAX_COMPARISONS
      ? zip(left, right).flatMap((pair) => splitUnlike(pair, likeness))
      : alignBest(left, right, likeness)
  return [...zip(a.slice(0, start), b.slice(0, start)), ...between, ...zip(a.slice(a.length - end), b.slice(b.length - end))]
}

const zip = <T>(a: readonly T[], b: readonly T[]): readonly Aligned<T>[] =>
  Array.from({ length: Math.max(a.length, b.length) }, (_, at) => ({ a: a[at], b: b[at] }) as Aligned<T>) // one of them has it

function splitUnlike<T>({ a, b }: Aligned<T>, likeness: (a: T, b: T) => number): readonly Aligned<T>[] {
  if (a === undefined || b === undefined || likeness(a, b) > 0) return [{ a, b } as Aligned<T>] // as it was
  return [
    { a, b: undefined },
    { a: undefined, b },
  ]
}

function alignBest<T>(a: readonly T[], b: readonly T[], likeness: (a: T, b: T) => number): readonly Aligned<T>[] {
  const likes = a.map((x) => Uint8Array.from(b, (y) => likeness(x, y)))
  /** The highest sum of what is left from `i` and `j` on. */
  const best = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1))
  const like = (i: number, j: number): number => likes[i]?.[j] ?? 0
  const sum = (i: number, j: number): number => best[i]?.[j] ?? 0
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--) {
      const together = like(i, j) === 0 ? 0 : like(i, j) + sum(i + 1, j + 1)
      const row = best[i]
      if (row !== undefined) row[j] = Math.max(sum(i + 1, j), sum(i, j + 1), together)
    }
  const aligned: Aligned<T>[] = []
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const [x, y] = [a[i], b[j]]
    const isTogether = like(i, j) > 0 && sum(i, j) === like(i, j) + sum(i + 1, j + 1)
    const isLeft = isTogether || (x !== undefined && (y === undefined || sum(i, j) === sum(i + 1, j)))
    const isRight = isTogether || !isLeft
    aligned.push({ a: isLeft ? x : undefined, b: isRight ? y : undefined } as Aligned<T>) // not both of them are at their end
    if (isLeft) i++
    if (isRight) j++
  }
  return aligned
}
