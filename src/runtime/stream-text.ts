/** A text that is still growing, kept in blocks: to read its end costs what the end is long, whatever came before. */
export interface StreamText {
  readonly length: number
  append(delta: string): void
  /** What comes after the first `start` UTF-16 units. */
  from(start: number): string
  /** The first `length` of them. */
  until(length: number): string
}

const BLOCK = 1024

export function createStreamText(...initial: readonly string[]): StreamText {
  const blocks = initial.filter((block) => block !== '')
  let length = blocks.reduce((sum, block) => sum + block.length, 0)
  return {
    get length() {
      return length
    },
    append(delta) {
      if (delta === '') return
      const last = blocks.at(-1)
      if (last === undefined || last.length >= BLOCK) blocks.push(delta)
      else blocks[blocks.length - 1] = last + delta
      length += delta.length
    },
    from(start) {
      const wanted: string[] = []
      let begin = length
      for (let index = blocks.length - 1; index >= 0 && begin > start; index--) {
        const block = blocks[index] ?? ''
        begin -= block.length
        wanted.push(begin < start ? block.slice(start - begin) : block)
      }
      return wanted.reverse().join('')
    },
    until(end) {
      let text = ''
      for (const block of blocks) {
        if (text.length >= end) break
        text += block
      }
      return text.slice(0, end)
    },
  }
}

/** How much of a text was given, with a sum of it: it tells whether another text begins in the same way. */
export interface Prefix {
  readonly length: number
  readonly sum: readonly [number, number]
}

export const NOTHING: Prefix = { length: 0, sum: [0x811c9dc5, 0x9747b28c] }

export function extend({ length, sum }: Prefix, delta: string): Prefix {
  let [one, other] = sum
  for (let index = 0; index < delta.length; index++) {
    const unit = delta.charCodeAt(index)
    one = Math.imul(one ^ unit, 0x01000193)
    other = Math.imul(other ^ unit, 0x85ebca6b)
    other ^= other >>> 13
  }
  return { length: length + delta.length, sum: [one >>> 0, other >>> 0] }
}

/** Nothing of a text that belongs to what `label` names: to another text of the same words it has another sum. */
export const nothingOf = (label: string): Prefix => ({ length: 0, sum: extend(NOTHING, label).sum })

/** Whether `text`, from `start` on, begins with what was given; `unclear` while it is too short to tell. */
export function beginsWith(text: StreamText, given: Prefix, start: Prefix): 'same' | 'other' | 'unclear' {
  if (text.length < given.length) return 'unclear'
  const { sum } = extend(start, text.until(given.length))
  return sum[0] === given.sum[0] && sum[1] === given.sum[1] ? 'same' : 'other'
}
