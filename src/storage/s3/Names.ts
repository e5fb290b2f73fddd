/** Reading the keys of a listing. */
import { Effect, Schema } from "effect"
import { ObjectKey } from "../../domain/ObjectKey.ts"

interface Encoded {
  readonly EncodingType?: string | undefined
}

/** Returns the key that a listing names, or undefined if it is not valid (U+0000, broken UTF-8). */
export const readKey = (text: string | undefined, { EncodingType }: Encoded): ObjectKey | undefined => {
  const key = EncodingType === "url" ? decoded(text) : text
  return isObjectKey(key) ? key : undefined
}

/**
 * Returns the keys that a name may mean. Listings are requested with encoded names, but some answers do not
 * say whether they are encoded. radosgw encodes the uploads in such an answer, and other stores do not.
 * Usually the result is one key. It is empty if the name is not valid.
 */
export const possibleKeys = (
  text: string | undefined,
  { EncodingType }: Encoded
): ReadonlyArray<ObjectKey> => {
  const readings = EncodingType === "url" ? [decoded(text)] : [decoded(text), text]
  return [...new Set(readings)].filter((key) => isObjectKey(key))
}

/**
 * Decodes the encoding of HTML forms, in which "+" is a space. Returns undefined if the text is malformed.
 */
const decoded = (text: string | undefined): string | undefined => {
  try {
    return text === undefined ? undefined : decodeURIComponent(text.replaceAll("+", " "))
  } catch {
    return undefined
  }
}

const isObjectKey = Schema.is(ObjectKey)

/**
 * Logs that `count` objects or uploads have invalid keys. No method can name them, so they are never deleted.
 */
export const warnOfIllegal = (
  what: "Objects" | "Unfinished uploads",
  count: number,
  bucket: string,
  prefix: string
): Effect.Effect<void> =>
  count === 0
    ? Effect.void
    : Effect.logWarning(`${what} were skipped because their keys are not valid; they are never deleted`).pipe(
        Effect.annotateLogs({ count, bucket, prefix })
      )
