/**
 * Reads a manifest: its references, its subject, and how listings show it.
 *
 * Four formats are read: image manifest and index of image-spec v1.1, and Docker's manifest of schema 2 and
 * manifest list, on which they are modelled. All others are refused: their references would be unknown and be
 * deleted. For the same reason documents that other readers could understand differently are refused. Such a
 * document has two formats at once, or a key that differs from a known key only in case, which readers
 * written in Go treat as equal.
 *
 * Pure. The bytes themselves are kept and served as they arrived.
 */
import { Result, Schema, SchemaIssue } from "effect"
import { algorithmOf, Digest } from "../../domain/Digest.ts"
import type { ManifestReference } from "../database/contract/Manifests.ts"
import { ManifestInvalid } from "./errors.ts"
import { parseJson } from "./Json.ts"

/** What a registry needs to know of a manifest. */
export interface ManifestContents {
  readonly mediaType: string
  /**
   * `artifactType`, or an image's `config.mediaType` if it has none. Null for an index without
   * `artifactType`.
   */
  readonly artifactType: string | null
  readonly annotations: Readonly<Record<string, string>> | null
  readonly subject: Digest | null
  /** The blobs and manifests that it refers to, each once. */
  readonly references: ReadonlyArray<ManifestReference>
  /** Layers with `urls`, which clients find elsewhere. The manifest can be stored without them. */
  readonly dispensable: ReadonlySet<Digest>
}

/**
 * Most descriptors of one manifest. Storing it locks each blob in one transaction; Docker images have at most
 * 127 layers.
 */
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
 * Reads a manifest. `mediaType` is the one that the client gave, null or empty if it gave none: then the
 * manifest must have its own. Fails with `ManifestInvalid` if the manifest cannot be read or is ambiguous.
 */
export const parseManifest = (
  bytes: Uint8Array,
  mediaType: string | null
): Result.Result<ManifestContents, ManifestInvalid> =>
  Result.mapError(read(bytes, mediaType), (problem) => new ManifestInvalid({ problem }))

const read = (bytes: Uint8Array, declared: string | null): Result.Result<ManifestContents, string> =>
  Result.gen(function* () {
    const document = yield* parseJson(bytes)
    if (!isRecord(document)) return yield* Result.fail("it is JSON, but not an object")
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
    : Result.fail(`it was sent as ${declared}, but its mediaType is ${own}`)
}

const unreadable = (mediaType: string): string =>
  schema1.includes(mediaType)
    ? "Docker's schema 1 is not supported; push it with a client that writes schema 2 or OCI manifests"
    : `this registry cannot read the references of a manifest of type ${mediaType}, and would delete its blobs; supported types are ${[...formats.keys()].join(", ")}`

/** Refuses an image that is also an index: clients would understand it differently (CVE-2021-41190). */
const onlyOf = (format: Format, document: Json): Result.Result<void, string> => {
  const foreign = format === "image" ? ["manifests", "fsLayers"] : ["config", "layers", "fsLayers"]
  const found = foreign.find((key) => document[key] != null)
  return found === undefined
    ? Result.void
    : Result.fail(`it is an ${format} and has ${found}, so clients may read it as another format`)
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

/** Folds case as Go's encoding/json does, which also folds the long s and the Kelvin sign. */
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
    : Result.fail(
        `its key ${JSON.stringify(found)} differs from a known key only in case, and clients may read it as that key`
      )
}

// -- shapes

/** PostgreSQL cannot store U+0000, and UTF-8 cannot encode half of a surrogate pair. */
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

/** image-spec v1.1, descriptor.md. Go programs write `null` for an absent list or object. */
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
 * Checks annotations by hand, without a schema: a manifest of 4 MiB may have 300,000 of them, and a decoded
 * copy would lose a key like `__proto__`.
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

/** An index may list blobs that are not manifests: BuildKit's registry cache lists layers. */
const kindOf = ({ mediaType }: Descriptor): ManifestReference["kind"] =>
  formats.has(mediaType) || schema1.includes(mediaType) ? "manifest" : "layer"

const isElsewhere = ({ urls }: Descriptor): boolean => (urls ?? []).length > 0

const distinct = (references: ReadonlyArray<ManifestReference>): ReadonlyArray<ManifestReference> => [
  ...new Map(references.map((reference) => [`${reference.kind} ${reference.digest}`, reference])).values()
]
