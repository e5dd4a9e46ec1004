/** An iteration whose first item is asked for at once: some show things as they are at that moment, and some fail before anybody listens. */
export function toBegun<T>(items: AsyncIterable<T>): AsyncIterableIterator<T> {
  const cursor = items[Symbol.asyncIterator]()
  let first: Promise<IteratorResult<T>> | undefined = cursor.next()
  first.catch(() => {}) // whoever takes it hears of it
  return {
    next() {
      const next = first ?? cursor.next()
      first = undefined
      return next
    },
    async return() {
      await first?.catch(() => {})
      return (await cursor.return?.()) ?? { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
