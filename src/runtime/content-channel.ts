import { channel } from 'node:diagnostics_channel'

/** What a call or a turn was asked, or what it came to. */
export interface Content {
  /** Of the runtime's store, as `runtime.directory`. */
  readonly directory: string
  readonly runId: string
  /** The turn that it is about, or that the call is in. */
  readonly checkpoint: string
  /** Of a call; a turn has none. */
  readonly key?: string | undefined
  /** A `ModelRequest`, the text of a tool's arguments, or the prompt of a turn. */
  readonly asked?: unknown
  /** A `ModelAnswer`, a `ToolMessage`, the output of a turn, or the error that it failed with. */
  readonly answered?: unknown
}

const content = channel('perdure.content')

/**
 * Tells what events leave out to those who listen to the channel `perdure.content`. `toPart` is called only if somebody does: without a listener it
 * costs a look at a flag.
 */
export function publishContent(
  { store }: { readonly store: { readonly location: string } },
  { runId, checkpoint, key }: Pick<Content, 'runId' | 'checkpoint' | 'key'>,
  toPart: () => Pick<Content, 'asked'> | Pick<Content, 'answered'>,
): void {
  if (content.hasSubscribers)
    content.publish({ directory: store.location, runId, checkpoint, key, ...toPart() } satisfies Content)
}
