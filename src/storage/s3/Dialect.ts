/**
 * How a store's deletes differ from AWS. The differences are learned from its answers and kept while the
 * process lives. Each is logged once, to explain unusual requests to an operator.
 */
import { Effect, Ref } from "effect"

/** Holds the known differences of a store. */
export interface Dialect {
  /**
   * How DeleteObjects is sent. `plain`: as the SDK does. `md5`: with the Content-MD5 that older stores
   * require and the SDK no longer sends. `none`: not at all, because the store does not support it. Objects
   * are deleted one by one.
   */
  readonly batches: "plain" | "md5" | "none"
  /** Whether the answer names `each` key that was deleted, or only the `failures`. */
  readonly names: "each" | "failures"
}

/** The dialect that is assumed until the store shows a difference. */
export const aws: Dialect = { batches: "plain", names: "each" }

/** Holds the dialect of one store. */
export type DialectRef = Ref.Ref<Dialect>

const words: { readonly [K in keyof Dialect]: Partial<Record<Dialect[K], string>> } = {
  batches: {
    md5: "The store requires a Content-MD5 with a batch of deletes; from now on every batch has one",
    none: "The store does not support batches of deletes; from now on objects are deleted one by one"
  },
  names: {
    failures:
      "The store answers a batch of deletes without naming the deleted keys, although they are deleted; from now on only the keys that it names as failed count as failed"
  }
}

/** Records a difference that the store has shown, and logs it the first time. `detail` is the evidence. */
export const learn = Effect.fnUntraced(function* <K extends keyof Dialect>(
  dialect: DialectRef,
  what: K,
  shown: Dialect[K],
  detail: string
) {
  const before = yield* Ref.getAndUpdate(dialect, (known) => ({ ...known, [what]: shown }))
  const text = words[what][shown]
  if (before[what] !== shown && text !== undefined) yield* Effect.logWarning(text, detail)
})
