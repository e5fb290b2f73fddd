/**
 * What a manifest says that a registry must know: what it needs, what it is about, and how it is listed.
 *
 * Four formats are read: image manifest and index of image-spec v1.1, and their models, Docker's manifest of schema 2
 * and manifest list. Everything else is refused, because what it refers to would not be known and be collected. For the
 * same reason a document is refused that another reader could take for something else: of two formats at once, or with
 * keys that differ from those read here in nothing but case, which readers written in Go take for the same.
 *
 * Pure; the bytes themselves are kept and served as they came.
 */
import { Result, Schema, SchemaIssue } from "effect"
import { algorithmOf, Digest } from "../../domain/Digest.ts"
import type { ManifestReference } from "../database/contract/Manifests.ts"
import { ManifestInvalid } from "./errors.ts"
import { parseJson } from "./Json.ts"

export interface ManifestContents {
  readonly mediaType: string
  /** `artifactType`, or else an image's `config.mediaType`; null of an index that has none. */
  readonly artifactType: string | null
  readonly annotations: Readonly<Record<string, string>> | null
  readonly subject: Digest | null
  /** Each once. */
  readonly references: ReadonlyArray<ManifestReference>
  /** Layers that clients find elsewhere (`urls`): the manifest can be stored without them. */
  readonly dispensable: ReadonlySet<Digest>
}

/** The most descriptors of one manifest. Images have at most 127 layers in Docker; a locking transaction must end. */
export const descriptorsMax = 10_000

type Format = "image" | "index"

const formats: ReadonlyMap<string, Format> = new Map([
  ["application/vnd.oci.image.manifest.v1+json", "image"],
  ["application/vnd.oci.image.index.v1+json", "index"],
  ["application/vnd.docker.distribution.manifest.v2+json", "image"],
  ["application/vnd.docker.distribution.manifest.list.v2+json", "index"]
])

const schema1: ReadonlyArray<string> = [
  "application/vnd.docker.distribution.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v1+prettyjws"
]

/**
 * Reads a manifest that is said to be of `mediaType`; null or empty where nobody says it, which the manifest itself then
 * must.
 */
export const parseManifest = (
  bytes: Uint8Array,
  mediaType: string | null
): Result.Result<ManifestContents, ManifestInvalid> =>
  Result.mapError(read(bytes, mediaType), (problem) => new ManifestInvalid({ problem }))

const read = (bytes: Uint8Array, declared: string | null): Result.Result<ManifestContents, string> =>
  Result.gen(function* () {
    const document = yield* parseJson(bytes)
    if (!isRecord(document)) return yield* Result.fail("it is JSON, but no object")
    yield* plainKeys(document)
    const mediaType = yield* agreed(essence(declared ?? ""), document.mediaType)
    const format = formats.get(mediaType)
    if (format === undefined) return yield* Result.fail(unreadable(mediaType))
    yield* onlyOf(format, document)
    const read = yield* format === "image" ? image(document) : index(document)
    return { mediaType, annotations: yield* annotationsOf(document.annotations), ...read }
  })

type Json = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** A media type without its parameters. */
const essence = (mediaType: string): string => (mediaType.split(";")[0] ?? "").trim().toLowerCase()

const agreed = (declared: string, own: unknown): Result.Result<string, string> => {
  if (own === undefined || own === null) {
    return declared === ""
      ? Result.fail("it has no mediaType, and the request no Content-Type")
      : Result.succeed(declared)
  }
  if (typeof own !== "string") return Result.fail("mediaType: must be a string")
  return declared === "" || declared === own
    ? Result.succeed(own)
    : Result.fail(`it was sent as ${declared}, and says that it is ${own}`)
}

const unreadable = (mediaType: string): string =>
  schema1.includes(mediaType)
    ? "it is of Docker's schema 1, which is not supported; push it with a client that writes schema 2 or OCI manifests"
    : `what a manifest of type ${mediaType} refers to is not known here, and would be collected; supported are ${[...formats.keys()].join(", ")}`

/** An image that is an index as well means different things to different clients (CVE-2021-41190). */
const onlyOf = (format: Format, document: Json): Result.Result<void, string> => {
  const foreign = format === "image" ? ["manifests", "fsLayers"] : ["config", "layers", "fsLayers"]
  const found = foreign.find((key) => document[key] != null)
  return found === undefined
    ? Result.void
    : Result.fail(`it is an ${format} and has ${found}, so clients may take it for something else`)
}

// -- keys

const documentKeys = [
  "schemaVersion",
  "mediaType",
  "artifactType",
  "config",
  "layers",
  "manifests",
  "subject",
  "annotations",
  "fsLayers"
]
const descriptorKeys = ["mediaType", "digest", "size", "urls"]

/** Letters that differ in nothing but case, in the eyes of Go's encoding/json: also the long s and the Kelvin sign. */
const folded = (key: string): string => key.toUpperCase().toLowerCase()

const lookalikesOf = (keys: ReadonlyArray<string>) => {
  const known = new Map(keys.map((key) => [folded(key), key]))
  return (value: unknown): string | undefined =>
    isRecord(value) ? Object.keys(value).find((key) => (known.get(folded(key)) ?? key) !== key) : undefined
}
const documentLookalike = lookalikesOf(documentKeys)
const descriptorLookalike = lookalikesOf(descriptorKeys)

const plainKeys = (document: Json): Result.Result<void, string> => {
  const descriptors = [document.config, document.subject, document.layers, document.manifests]
    .flat()
    .filter((one) => one !== undefined && one !== null)
  if (descriptors.length > descriptorsMax) {
    return Result.fail(`it has more than ${descriptorsMax} descriptors`)
  }
  let found = documentLookalike(document)
  for (const descriptor of descriptors) found ??= descriptorLookalike(descriptor)
  return found === undefined
    ? Result.void
    : Result.fail(`its key ${JSON.stringify(found)} is one that clients may read without regard to case`)
}

// -- shapes

/** PostgreSQL cannot hold U+0000, nor UTF-8 half of a surrogate pair. */
const isUnstorable = (text: string): boolean => /[\0\p{Cs}]/u.test(text)
const storable = "must contain neither U+0000 nor half of a surrogate pair"
const Text = Schema.String.check(Schema.makeFilter((text) => (isUnstorable(text) ? storable : undefined)))

const KnownDigest = Digest.check(
  Schema.makeFilter((digest) =>
    algorithmOf(digest) === null
      ? "must be sha256: with 64 or sha512: with 128 lower-case hexadecimal digits"
      : undefined
  )
)

const Size = Schema.Finite.check(
  Schema.makeFilter((size) =>
    Number.isSafeInteger(size) && size >= 0 ? undefined : "must be a whole number of bytes, 0 or more"
  )
)

/** image-spec v1.1, descriptor.md. What Go programs write for an absent list or object is `null`. */
const Descriptor = Schema.Struct({
  mediaType: Text.check(Schema.isNonEmpty()),
  digest: KnownDigest,
  size: Size,
  urls: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String)))
})
type Descriptor = typeof Descriptor.Type

const common = {
  schemaVersion: Schema.Literal(2),
  artifactType: Schema.optionalKey(Schema.NullOr(Text)),
  subject: Schema.optionalKey(Schema.NullOr(Descriptor))
}
const Descriptors = Schema.NullOr(Schema.Array(Descriptor))
const decodeImage = Schema.decodeUnknownResult(
  Schema.Struct({ ...common, config: Descriptor, layers: Descriptors })
)
const decodeIndex = Schema.decodeUnknownResult(Schema.Struct({ ...common, manifests: Descriptors }))

const format = SchemaIssue.makeFormatterStandardSchemaV1()
const worded = <A>(decoded: Result.Result<A, Schema.SchemaError>): Result.Result<A, string> =>
  Result.mapError(decoded, ({ issue }) =>
    format(issue)
      .issues.map(({ path = [], message }) => `${path.map(String).join(".")}: ${message}`)
      .join("; ")
  )

// -- contents

type Read = Omit<ManifestContents, "mediaType" | "annotations">

const image = (document: unknown) =>
  Result.map(worded(decodeImage(document)), ({ artifactType, config, layers, subject }): Read => {
    const elsewhere = new Set((layers ?? []).filter(isElsewhere).map(({ digest }) => digest))
    for (const layer of layers ?? []) if (!isElsewhere(layer)) elsewhere.delete(layer.digest)
    elsewhere.delete(config.digest)
    return {
      artifactType: artifactType || config.mediaType,
      subject: subject?.digest ?? null,
      references: distinct([
        { digest: config.digest, kind: "config" },
        ...(layers ?? []).map(({ digest }) => ({ digest, kind: "layer" }) as const)
      ]),
      dispensable: elsewhere
    }
  })

const index = (document: unknown) =>
  Result.map(
    worded(decodeIndex(document)),
    ({ artifactType, manifests, subject }): Read => ({
      artifactType: artifactType || null,
      subject: subject?.digest ?? null,
      references: distinct((manifests ?? []).map((child) => ({ digest: child.digest, kind: kindOf(child) }))),
      dispensable: new Set()
    })
  )

/**
 * Looked at by hand: a manifest of 4 MiB may have 300,000 of them, and a decoded copy would lose a key like
 * `__proto__`.
 */
const annotationsOf = (value: unknown): Result.Result<ManifestContents["annotations"], string> => {
  if (value === undefined || value === null) return Result.succeed(null)
  if (!isRecord(value)) return Result.fail("annotations: must be an object")
  const annotations: Array<readonly [string, string]> = []
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") return Result.fail(`annotations.${key}: must be a string`)
    if (isUnstorable(key) || isUnstorable(text)) return Result.fail(`annotations.${key}: ${storable}`)
    annotations.push([key, text])
  }
  return Result.succeed(Object.fromEntries(annotations))
}

/** What an index lists need not be a manifest: BuildKit's registry cache lists layers in one. */
const kindOf = ({ mediaType }: Descriptor): ManifestReference["kind"] =>
  formats.has(mediaType) || schema1.includes(mediaType) ? "manifest" : "layer"

const isElsewhere = ({ urls }: Descriptor): boolean => (urls ?? []).length > 0

const distinct = (references: ReadonlyArray<ManifestReference>): ReadonlyArray<ManifestReference> => [
  ...new Map(references.map((reference) => [`${reference.kind} ${reference.digest}`, reference])).values()
]
