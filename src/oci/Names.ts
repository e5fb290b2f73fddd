/** Names in an OCI registry: repositories, tags, and the pin by which a repository holds a blob. */
import { Schema } from "effect"
import type { Digest } from "../domain/Digest.ts"

/**
 * Accepts the name of a repository: components as in distribution-spec v1.1.1, "Pulling manifests", and at
 * most 255 characters in all, as Docker has it.
 */
export const RepositoryName = Schema.String.check(
  Schema.isMaxLength(255),
  Schema.isPattern(/^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/)
).pipe(Schema.brand("RepositoryName"))
/** A valid name of a repository. */
export type RepositoryName = typeof RepositoryName.Type

/** Accepts a tag: distribution-spec v1.1.1, "Pulling manifests". */
export const Tag = Schema.String.check(Schema.isPattern(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/)).pipe(
  Schema.brand("Tag")
)
/** A valid tag. */
export type Tag = typeof Tag.Type

/**
 * Returns the id of the pin by which a repository holds a blob. The hold begins when a client pushes or
 * mounts the blob or is told that the repository has it. It bridges the time until a manifest refers to the
 * blob. The id is fixed, so that a hundred pushes of one layer leave one row (docs/decisions/0011).
 */
export const holdId = (repository: string, digest: Digest): string => `oci:${repository}@${digest}`

/** What stands behind the digest in the name of a tag that is about a manifest: cosign's suffixes, and none for a list of referrers. */
const attachedSuffixes = ["", ".sig", ".att", ".sbom"] as const

/** Returns the names of the tags that are about a manifest (distribution-spec v1.1.1, "Referrers Tag Schema", and cosign). */
export const attachedTagsOf = (digest: Digest): ReadonlyArray<string> => {
  const [algorithm = "", hex = ""] = digest.split(":")
  return attachedSuffixes.map((suffix) => `${algorithm}-${hex.slice(0, 64)}${suffix}`)
}

/** Returns whether a tag is about the manifest in its name. */
export const isAttachedTag = (name: string): boolean =>
  /^sha(256|512)-[0-9a-f]{64}(\.(sig|att|sbom))?$/.test(name)
