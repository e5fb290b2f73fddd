/** The registry's tables of the memory backend, beside the core's. Tests may read and write them. */
import { emptyState as emptyCore, type State } from "../../../database/Memory.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type { Judgement, JudgingProgress } from "../contract/Judgements.ts"
import type { Manifest, ManifestReference, UntaggedBy } from "../contract/Manifests.ts"
import type { RetentionState } from "../contract/Retention.ts"
import type { UploadSession } from "../contract/UploadSessions.ts"

/** An upload session's row. */
export interface SessionRow extends UploadSession {
  /** The token of the last lease, kept after its end. */
  readonly token: string | null
  /** Null unless it is being finished. */
  readonly leaseUntil: number | null
}

/** A manifest's row, with its references. */
export interface ManifestRow extends Manifest {
  readonly references: ReadonlyArray<ManifestReference>
  /** Null while a tag names it, or after `expire` found it needed. Otherwise since when neither is known. */
  readonly untaggedAt: number | null
  /** How it lost its last name; absent while it has one, and where it is unknown. */
  readonly untaggedBy?: UntaggedBy
  /** When it was pushed first; absent where it is unknown. */
  readonly pushedAt?: number
}

/** A tag's row. */
export interface TagRow {
  readonly repository: string
  readonly name: string
  readonly digest: Digest
  /** When it was last pushed; absent where it is unknown. */
  readonly pushedAt?: number
  /** When it was last pulled; absent where it is unknown. */
  readonly pulledAt?: number
}

/** What the rules last made of a repository. */
export interface JudgementRow extends Judgement {
  readonly judgedAt: number
}

/** The judgements by rules. */
export interface JudgingState {
  /** Whose judgements they are; null without any. */
  key: string | null
  progress: JudgingProgress
  /** By repository. */
  readonly rows: Map<string, JudgementRow>
}

/** The core's tables and the registry's. */
export interface RegistryState extends State {
  /** Upload sessions, by id. */
  readonly sessions: Map<string, SessionRow>
  /** By repository and digest: see {@link manifestId}. */
  readonly manifests: Map<string, ManifestRow>
  /** By repository and name. */
  readonly tags: Map<string, TagRow>
  /** What retention rules remember. */
  readonly retention: { -readonly [Name in keyof RetentionState]: RetentionState[Name] }
  /** What the rules last made of each repository. */
  readonly judging: JudgingState
  /** Shared secrets, by name. */
  readonly keys: Map<string, Uint8Array>
}

/**
 * Returns an empty catalogue in which manifests keep their own bytes and the blobs that they need, beside
 * reference tables of a host.
 */
export const emptyState = (tables?: ReadonlyArray<string>): RegistryState => {
  const manifests = new Map<string, ManifestRow>()
  const core = emptyCore(tables)
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
  const retention = { accepted: null, proposed: null, proposedAt: null, judgedAt: null, pullsSince: null }
  const judging = { key: null, progress: { listedTo: null, lookedAt: 0 }, rows: new Map() }
  return { ...core, manifests, retention, judging, sessions: new Map(), tags: new Map(), keys: new Map() }
}

/** Returns the primary key of a manifest, or of a tag by its name. */
export const manifestId = (repository: string, digestOrTag: string): string =>
  JSON.stringify([repository, digestOrTag])
