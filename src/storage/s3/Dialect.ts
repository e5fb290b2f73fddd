/**
 * How a store differs from AWS in deleting, as far as it has shown. Found out by what it answers, kept for as long as
 * the process lives, and said once in the log, so that whoever wonders about the requests finds the reason.
 */
import { Effect, Ref } from "effect"

export interface Dialect {
  /**
   * How DeleteObjects is sent: `plain`, as the SDK does; `md5`, with the Content-MD5 that older stores insist on and the
   * SDK no longer sends; `none`, where the store has no DeleteObjects that we can speak, and objects go one by one.
   */
  readonly batches: "plain" | "md5" | "none"
  /** Whether the answer names `each` key that was deleted, or only the `failures`. */
  readonly names: "each" | "failures"
}

/** Of a store that has not shown anything yet. */
export const aws: Dialect = { batches: "plain", names: "each" }

export type DialectRef = Ref.Ref<Dialect>

const words: { readonly [K in keyof Dialect]: Partial<Record<Dialect[K], string>> } = {
  batches: {
    md5: "The store wants a Content-MD5 with a batch of deletes; all carry one from now on",
    none: "The store does not take batches of deletes; objects are deleted one by one from now on"
  },
  names: {
    failures:
      "The store answers a batch of deletes without naming what it deleted, and what it was asked to delete is gone; from now on only what it names as failed counts as failed"
  }
}

/** Notes what the store has shown. */
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
