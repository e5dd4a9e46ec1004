/** What the answer to a question comes to: a value, or what is wrong with it. */
export type ParsedAnswer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly message: string }

/**
 * Why somebody has to answer: a tool call wants to be approved, the model or the code has a question, a call is in doubt, a limit was reached.
 */
export type QuestionKind = 'approval' | 'question' | 'doubt' | 'limit'

/** Something that a person is asked. Everything but `parse` is recorded, so that it can be shown and answered without the code that asked. */
export interface Question<T> {
  readonly kind: QuestionKind
  /** What the person reads. */
  readonly text: string
  /** JSON Schema of the answer. */
  readonly schema: Readonly<Record<string, unknown>>
  /** The tool call that it is about. `arguments` is the text that the model wrote. */
  readonly call?: { readonly name: string; readonly arguments: string } | undefined
  /** Checks an answer. One that does not fit is refused, and the question stays open. Must give the same for the same answer. */
  readonly parse: (answer: unknown) => ParsedAnswer<T> | Promise<ParsedAnswer<T>>
}
