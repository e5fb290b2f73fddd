/** The store as a process of the simulation sees it: small pages, and bodies that are read before they are sent. */
import { Effect, Option, Stream } from "effect"
import type { Storage } from "../../storage/Storage.ts"

/** Objects a page, so that listings of a handful of objects take several requests. */
const pageMax = 2

export const paged = (inner: Storage["Service"]): Storage["Service"] => ({
  ...inner,
  list: (prefix, options) =>
    Stream.paginate(options?.after, (after: string | undefined) =>
      Effect.map(Stream.runHead(inner.list(prefix, { after })), (first) => {
        const listed = Option.getOrElse(first, () => [])
        const page = listed.slice(0, pageMax)
        const last = page.at(-1)
        const more = last !== undefined && listed.length > page.length
        return [page.length === 0 ? [] : [page], more ? Option.some(last.key) : Option.none()] as const
      })
    ),
  // A body is the caller's: it must not be read when the caller is dead, nor in the store's step.
  put: (key, body, sizeBytes, options) =>
    Effect.flatMap(Stream.runCollect(body), (chunks) =>
      inner.put(key, Stream.fromIterable(chunks), sizeBytes, options)
    )
})
