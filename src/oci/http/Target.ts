/**
 * What an address below `/v2/` names (distribution-spec v1.1.1, "Endpoints").
 *
 * Names of repositories contain slashes, so addresses are read from their end. Each segment is decoded by
 * itself: an encoded slash never makes two segments, and `.` and `..` are not names.
 */
import { Effect, Option, Schema } from "effect"
import { algorithmOf, Digest } from "../../domain/Digest.ts"
import { RepositoryName } from "../Names.ts"
import { type Problem, problem } from "./Problem.ts"

/** What an address names. */
export type Target =
  | { readonly _tag: "Base" }
  | { readonly _tag: "Catalog" }
  | { readonly _tag: "Tags"; readonly name: string }
  | { readonly _tag: "Referrers"; readonly name: string; readonly digest: Digest }
  | { readonly _tag: "Blob"; readonly name: string; readonly digest: Digest }
  | { readonly _tag: "Uploads"; readonly name: string }
  | { readonly _tag: "Upload"; readonly name: string; readonly id: string }
  | { readonly _tag: "Manifest"; readonly name: string; readonly reference: string }

/** Returns the target's repository, or an empty string if it has none. */
export const repositoryOf = (target: Target): string => ("name" in target ? target.name : "")

/**
 * Returns the target of a path that begins with `/v2`. Fails with the response for an address that names
 * none.
 */
export const parse = (path: string): Effect.Effect<Target, Problem> =>
  Effect.gen(function* () {
    const segments = yield* decoded(path)
    const [last = "", kind = "", before = ""] = segments.toReversed()
    if (segments.length === 0 || (segments.length === 1 && last === "")) return { _tag: "Base" }
    if (segments.length === 1 && last === "_catalog") return { _tag: "Catalog" }
    if (before === "blobs" && kind === "uploads" && last !== "") {
      return { _tag: "Upload", name: yield* nameOf(segments.slice(0, -3)), id: yield* idOf(last) }
    }
    if (before === "blobs" && kind === "uploads") {
      return { _tag: "Uploads", name: yield* nameOf(segments.slice(0, -3)) }
    }
    const name = segments.slice(0, -2)
    if (kind === "tags" && last === "list") return { _tag: "Tags", name: yield* nameOf(name) }
    if (kind === "blobs" && last === "uploads") return { _tag: "Uploads", name: yield* nameOf(name) }
    if (kind === "blobs") return { _tag: "Blob", name: yield* nameOf(name), digest: yield* digestOf(last) }
    if (kind === "referrers") {
      return { _tag: "Referrers", name: yield* nameOf(name), digest: yield* digestOf(last) }
    }
    if (kind === "manifests") {
      return { _tag: "Manifest", name: yield* nameOf(name), reference: yield* referenceOf(last) }
    }
    return yield* problem(404, "UNSUPPORTED", "The distribution API has no such address. Check the path.")
  })

/** Returns the segments after `/v2/`, decoded. */
const decoded = (path: string) =>
  Effect.try({
    try: () => path.split("/").slice(2).map(decodeURIComponent),
    catch: () => malformed
  })

/** The address cannot be decoded. */
export const malformed = problem(
  400,
  "NAME_INVALID",
  "The address is not well-formed: a % must be followed by two hexadecimal digits, and the bytes must be UTF-8."
)

const decodeName = Schema.decodeOption(RepositoryName)

const nameOf = (segments: ReadonlyArray<string>): Effect.Effect<string, Problem> => {
  const name = segments.some((segment) => segment.includes("/"))
    ? Option.none()
    : decodeName(segments.join("/"))
  return Option.isSome(name)
    ? Effect.succeed(name.value)
    : Effect.fail(
        problem(
          400,
          "NAME_INVALID",
          "The name of the repository is not valid. It has components of lower-case letters and digits, joined by one of . _ __ or dashes and separated by slashes, and at most 255 characters."
        )
      )
}

/** Returns the text if it is a valid name of a repository, else null. */
export const otherName = (text: string): string | null => Option.getOrNull(decodeName(text))

const decodeDigest = Schema.decodeOption(Digest)

/** Returns the text as a digest. Fails with 400 if this registry cannot compute such digests. */
export const digestOf = (text: string): Effect.Effect<Digest, Problem> =>
  Option.match(
    Option.filter(decodeDigest(text), (digest) => algorithmOf(digest) !== null),
    {
      onSome: Effect.succeed,
      onNone: () =>
        Effect.fail(
          problem(
            400,
            "DIGEST_INVALID",
            "The digest is not valid. It must be sha256: with 64 or sha512: with 128 lower-case hexadecimal digits.",
            { detail: { digest: text.slice(0, 256) } }
          )
        )
    }
  )

/**
 * Fails for a reference with a colon that is not a digest. A reference that is not a valid tag is looked up
 * and not found.
 */
const referenceOf = (text: string): Effect.Effect<string, Problem> =>
  text.includes(":") ? digestOf(text) : Effect.succeed(text)

/** Accepts only ids of the form that this registry gives out, so that no other text reaches the database. */
const idOf = (text: string): Effect.Effect<string, Problem> =>
  /^[A-Za-z0-9-]{1,64}$/.test(text)
    ? Effect.succeed(text)
    : Effect.fail(
        problem(404, "BLOB_UPLOAD_UNKNOWN", "The upload session does not exist. Start a new upload.")
      )
