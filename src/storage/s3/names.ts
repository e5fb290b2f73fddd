/** Keys as a listing writes them. */
import { Effect, Schema } from "effect"
import { ObjectKey } from "../../domain/ObjectKey.ts"

/** The text that a listing means; nothing when its encoding is broken. Forms' encoding: a space may be "+". */
export const decoded = (
  text: string | undefined,
  { EncodingType }: { readonly EncodingType?: string | undefined }
): string | undefined => {
  if (text === undefined || EncodingType !== "url") return text
  try {
    return decodeURIComponent(text.replaceAll("+", " "))
  } catch {
    return undefined
  }
}

/** The key that a listing names; nothing when it is not legal here (U+0000, broken UTF-8). */
export const readKey = (
  text: string | undefined,
  listing: { readonly EncodingType?: string | undefined }
): ObjectKey | undefined => {
  const key = decoded(text, listing)
  return isObjectKey(key) ? key : undefined
}

const isObjectKey = Schema.is(ObjectKey)

/** Says that there are `count` things which no verb can name, and which therefore stay for ever. */
export const warnOfIllegal = (
  what: "Objects" | "Unfinished uploads",
  count: number,
  bucket: string,
  prefix: string
): Effect.Effect<void> =>
  count === 0
    ? Effect.void
    : Effect.logWarning(`${what} were left alone because their keys are not legal here`).pipe(
        Effect.annotateLogs({ count, bucket, prefix })
      )
