/** The registry's tables of the memory backend, beside the core's. Tests may read and write them. */
import { emptyState as emptyCore, type State } from "../../../database/Memory.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type { Manifest, ManifestReference } from "../contract/Manifests.ts"
import type { UploadSession } from "../contract/UploadSessions.ts"

export interface SessionRow extends UploadSession {
  /** Of the last lease on it; kept when it ended. */
  readonly token: string | null
  /** Null unless it is being finished. */
  readonly leaseUntil: number | null
}

export interface ManifestRow extends Manifest {
  readonly references: ReadonlyArray<ManifestReference>
  /** Null: a tag names it, or `expire` found it needed. Otherwise since when neither is known to be so. */
  readonly untaggedAt: number | null
}

export interface TagRow {
  readonly repository: string
  readonly name: string
  readonly digest: Digest
}

/** The core's tables and the registry's. */
export interface RegistryState extends State {
  /** Upload sessions, by id. */
  readonly sessions: Map<string, SessionRow>
  /** By repository and digest: see {@link manifestId}. */
  readonly manifests: Map<string, ManifestRow>
  /** By repository and name. */
  readonly tags: Map<string, TagRow>
}

/** Returns an empty catalogue in which manifests keep their own bytes and the blobs that they need. */
export const emptyState = (): RegistryState => {
  const manifests = new Map<string, ManifestRow>()
  const core = emptyCore()
  core.referringTables.push(
    {
      table: "manifest_references",
      column: "digest",
      constraint: "manifest_references_digest_fkey",
      rows: () =>
        [...manifests.values()].flatMap((row) =>
          row.references.map(({ digest, kind }) => ({
            id: [row.repository, row.digest, digest, kind].join(" "),
            digest
          }))
        )
    },
    {
      table: "manifests",
      column: "digest",
      constraint: "manifests_digest_fkey",
      rows: () =>
        [...manifests.values()].map(({ repository, digest }) => ({ id: `${repository} ${digest}`, digest }))
    }
  )
  return { ...core, manifests, sessions: new Map(), tags: new Map() }
}

/** The primary key of a manifest, and with its name that of a tag. */
export const manifestId = (repository: string, digestOrTag: string): string =>
  JSON.stringify([repository, digestOrTag])
