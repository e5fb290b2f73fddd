/** A repository of an OCI registry, and how it holds a blob to which none of its manifests refers yet. */
import { Schema } from "effect"
import type { Digest } from "../domain/Digest.ts"

/** distribution-spec v1.1.1, "Pulling manifests": each component, and all of it at most 255 characters as Docker has it. */
export const RepositoryName = Schema.String.check(
  Schema.isMaxLength(255),
  Schema.isPattern(/^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/)
).pipe(Schema.brand("RepositoryName"))
export type RepositoryName = typeof RepositoryName.Type

/** distribution-spec v1.1.1, "Pulling manifests". */
export const Tag = Schema.String.check(Schema.isPattern(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/)).pipe(
  Schema.brand("Tag")
)
export type Tag = typeof Tag.Type

/**
 * The pin by which a repository holds a blob that was pushed or mounted to it, or that a client was told it has, until
 * a manifest refers to it. One for each, so that a hundred pushes of one layer leave one row.
 */
export const holdId = (repository: string, digest: Digest): string => `oci:${repository}@${digest}`
