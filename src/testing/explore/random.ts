/** A small deterministic generator (mulberry32) of numbers from 0 to 1, so that what was drawn can be drawn again by its seed. */
export function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/** `count` different whole numbers from 0 to `size` (not included), in growing order. All of them when there are no more. */
export function drawNumbers(size: number, count: number, random: () => number): number[] {
  if (count >= size) return Array.from({ length: size }, (_, index) => index)
  const drawn = new Set<number>()
  // Floyd's: each set is as likely as any other, and no draw is in vain.
  for (let last = size - count; last < size; last++) {
    const number = Math.floor(random() * (last + 1))
    drawn.add(drawn.has(number) ? last : number)
  }
  return [...drawn].sort((a, b) => a - b)
}
