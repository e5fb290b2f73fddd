/** Keys as a listing writes them. */
import { Effect, Schema } from "effect"
import { ObjectKey } from "../../domain/ObjectKey.ts"

interface Encoded {
  readonly EncodingType?: string | undefined
}

/** The key that a listing names; nothing when it is not legal here (U+0000, broken UTF-8). */
export const readKey = (text: string | undefined, { EncodingType }: Encoded): ObjectKey | undefined => {
  const key = EncodingType === "url" ? decoded(text) : text
  return isObjectKey(key) ? key : undefined
}

/**
 * The keys that a name may be in a listing that was asked to encode names and does not say whether it has: radosgw
 * does so to uploads, while others that do not say so do not. One, mostly; none when it is not legal here.
 */
export const possibleKeys = (
  text: string | undefined,
  { EncodingType }: Encoded
): ReadonlyArray<ObjectKey> => {
  const readings = EncodingType === "url" ? [decoded(text)] : [decoded(text), text]
  return [...new Set(readings)].filter((key) => isObjectKey(key))
}

/** The encoding of HTML forms undone, where a space may be "+"; nothing where it is broken. */
const decoded = (text: string | undefined): string | undefined => {
  try {
    return text === undefined ? undefined : decodeURIComponent(text.replaceAll("+", " "))
  } catch {
    return undefined
  }
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
