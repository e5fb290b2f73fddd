/**
 * What the rules last made of each repository, so that a sweep judges only repositories in which something may have changed.
 *
 * The judgements belong to one text of rules, the `key`. Other rules begin anew. A judgement is never the reason to remove a
 * tag: it says how many tags no rule keeps, and the tags are judged again before one is removed.
 */
import type { Result } from "../../../database/contract/Result.ts"

/** What the rules made of a repository that has tags. */
export interface Judgement {
  readonly repository: string
  /** The first instant at which time alone may end what a rule keeps, or at which the repository is judged again anyway. */
  readonly dueAt: number
  /** Its tags. Without any its judgement is forgotten. */
  readonly tags: number
  /** Those of them that no rule keeps. */
  readonly removable: number
  /** Those of these that the rules keep by which tags were last removed. */
  readonly stricter: number
  /** Those of `removable` that were to be removed when a person last confirmed. */
  readonly confirmed: number
}

/** How far all repositories were judged. */
export interface JudgingProgress {
  /** The last repository that was judged, `""` for none; null once all were. */
  readonly listedTo: string | null
  /** Pushes before this instant were judged, if `listedTo` is null. */
  readonly lookedAt: number
}

/** A repository that was pushed to. */
export interface PushedRepository {
  readonly repository: string
  /** Tags whose last push is later than asked. */
  readonly pushed: number
  /** The last push; null if only tags without a date were found. */
  readonly lastAt: number | null
  /** When it was last judged; null if it was not. */
  readonly judgedAt: number | null
}

/** Sums of all judgements. */
export type JudgedSums = Pick<Judgement, "tags" | "removable" | "stricter" | "confirmed">

/** Which judgements are outdated. */
export interface OutdatedBy {
  /** The present. What was judged at this instant or later is not outdated. */
  readonly now: number
  /** Tags that no rule keeps were judged before this instant, which changed what they count as. Null: it never did. */
  readonly changedAt: number | null
}

/** The verbs of judgements. */
export interface Judgements {
  /**
   * Returns how far all repositories were judged by the rules of `key`. Begins anew, and forgets all judgements, if these are of
   * other rules, or if pushes were last looked for before `from` or after `to`.
   */
  readonly begin: (
    now: number,
    key: string,
    looked: { readonly from: number; readonly to: number }
  ) => Result<JudgingProgress>
  /**
   * Notes judgements, and the progress, if one is given. Returns false and changes nothing if the judgements are of other rules
   * by now.
   */
  readonly note: (
    now: number,
    key: string,
    judgements: ReadonlyArray<Judgement>,
    progress?: JudgingProgress
  ) => Result<boolean>
  /** Returns the repositories with a tag that was pushed after `since` or has no date, in byte order. */
  readonly pushes: (since: number) => Result<ReadonlyArray<PushedRepository>>
  /** Returns at most `limit` repositories whose judgement is due or outdated, the longest due first. */
  readonly due: (by: OutdatedBy, limit: number) => Result<ReadonlyArray<string>>
  /** Returns the sums of all judgements by the rules of `key`; null if the judgements are of other rules. */
  readonly sums: (key: string) => Result<JudgedSums | null>
  /**
   * Returns at most `limit` repositories after `after` with tags that no rule of `key` keeps, in byte order, or none if the
   * judgements are of other rules.
   */
  readonly removable: (
    key: string,
    after: string,
    limit: number
  ) => Result<ReadonlyArray<Pick<Judgement, "repository" | "removable">>>
  /**
   * Counts the tags that `limit` judged repositories after `after` have now. Returns the last of these repositories, or null if
   * none is left.
   */
  readonly count: (
    after: string,
    limit: number
  ) => Result<{ readonly tags: number; readonly last: string | null }>
}
