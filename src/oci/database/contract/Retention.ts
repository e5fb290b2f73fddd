/**
 * What retention rules ask of the database: how old tags are, which are removed, and which rules a person has seen.
 *
 * A replica of an older version neither dates the tags that it moves nor records pulls. A tag that it moved has no date until
 * {@link Retention.date} gives it one, and then pulls count as recorded from that moment on.
 */
import type { Result } from "../../../database/contract/Result.ts"
import type { Digest } from "../../../domain/Digest.ts"
import type { Judgements } from "./Judgements.ts"
import type { ManifestName } from "./Manifests.ts"

/** A tag, and when it was used. */
export interface TagUse {
  readonly repository: string
  readonly name: string
  readonly digest: Digest
  /** When a client last pushed the tag; null if that is unknown. */
  readonly pushedAt: number | null
  /** When a client last pulled the tag, or its manifest by digest, as far as that was recorded; null if it was not. */
  readonly pulledAt: number | null
}

/** What is remembered between sweeps. */
export interface RetentionState {
  /** The rules by which tags were last removed, as text; null if none were. */
  readonly accepted: string | null
  /** Rules that wait for a person, as text; null without any. */
  readonly proposed: string | null
  /** When a sweep first saw the rules that wait; null without any. */
  readonly proposedAt: number | null
  /** When the rules last judged all tags; null if they never did. */
  readonly judgedAt: number | null
  /** Since when pulls are recorded; null if they are not. */
  readonly pullsSince: number | null
}

/** A manifest that an index of its repository lists. */
export interface ListedManifest {
  readonly repository: string
  readonly digest: Digest
  /** The index. */
  readonly index: Digest
}

/** A pull of a tag, or of a manifest by its digest. */
export interface Pull {
  readonly repository: string
  readonly name: ManifestName
  readonly at: number
}

/** How pulls are recorded. */
export interface RecordOptions {
  /** A tag whose recorded pull is less than this before the new one is not written again. */
  readonly everyMillis: number
  /** Whether no earlier pull was lost. If one was, pulls count as recorded from now on. */
  readonly isComplete: boolean
}

/** The keys of judgements by rules before and after these are those by which tags were last removed. */
export interface SettledKeys {
  readonly before: string
  readonly after: string
}

/** The verbs of retention. */
export interface Retention extends Judgements {
  /** Returns what is remembered; null if the registry's tables are missing. */
  readonly state: Result<RetentionState | null>
  /** Notes rules that wait for a person, and returns since when they do. Other rules replace those that waited before. */
  readonly propose: (now: number, rules: string) => Result<number>
  /**
   * Notes that all tags were judged by these rules, which therefore wait no longer. With `keys`, their judgements stay, under
   * their key after it, and nothing is noted if the judgements are of other rules by now.
   */
  readonly settle: (now: number, rules: string, keys?: SettledKeys) => Result<void>
  /** Returns at most `limit` tags of the repositories after `after`, by repository and name in byte order. */
  readonly tags: (
    repositories: ReadonlyArray<string>,
    after: Pick<TagUse, "repository" | "name"> | null,
    limit: number
  ) => Result<ReadonlyArray<TagUse>>
  /**
   * Dates those of the tags that have no date, or one after `latest`, to `now`, and returns how many. If a tag had none, a
   * replica of an older version may be at work, and pulls count as recorded from `now` on. Skips tags that another
   * transaction holds.
   */
  readonly date: (
    now: number,
    latest: number,
    tags: ReadonlyArray<Pick<TagUse, "repository" | "name">>
  ) => Result<number>
  /**
   * Records pulls: of a tag, or of all tags of a manifest and of the indexes that list it. The first record says that pulls are
   * recorded from `now` on.
   */
  readonly record: (now: number, pulls: ReadonlyArray<Pull>, options: RecordOptions) => Result<void>
  /** Returns those of the manifests that indexes of their repository list, with each index, in byte order. */
  readonly listed: (
    manifests: ReadonlyArray<Pick<TagUse, "repository" | "digest">>
  ) => Result<ReadonlyArray<ListedManifest>>
  /**
   * Removes those of the repository's tags that are as they were read: with the same digest, push and pull. A tag stays if an
   * index lists its manifest that has a tag which is not removed here. Returns the names in byte order. A manifest that loses its last tag is untagged from `now` on, and does not count for the breaker of
   * manifests. Skips tags and manifests that another transaction holds.
   */
  readonly untag: (
    now: number,
    repository: string,
    tags: ReadonlyArray<TagUse>
  ) => Result<ReadonlyArray<string>>
}
