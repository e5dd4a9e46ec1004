/** What registers tests; `skip` says why one is not run. */
export interface TestRunner {
  describe(name: string, suite: () => void): unknown
  it(title: string, options: { readonly skip: string | false }, test: () => Promise<void>): unknown
}
