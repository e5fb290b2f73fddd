/**
 * Decides which tags of a repository the rules keep, and by which rule. It asks nothing and changes nothing.
 *
 * All of a repository's tags are decided at once, because a rule may keep the newest, and because an index that is kept keeps
 * the tags of the manifests that it lists.
 */
import { Duration } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { ListedManifest, TagUse } from "../database/RegistryDatabase.ts"
import { isAttachedTag } from "../Names.ts"
import { describe, type KeepRule, matchesTag } from "./RetentionRules.ts"

/** A tag whose age is known. */
export interface DatedTag extends TagUse {
  readonly pushedAt: number
}

/** A tag, and why it is kept; `keptBy` is null for a tag that is removed. */
export interface Decision {
  readonly tag: DatedTag
  /** The rule in words, or another reason. */
  readonly keptBy: string | null
  /** Why, as reports count it. */
  readonly reason: "rule" | "unrecorded" | "attached" | "index" | "none"
}

/** What decisions depend on beside the rules and the tags. */
export interface DecideAt {
  /** The instant of the decision. */
  readonly now: number
  /** Since when pulls are recorded without a gap; null if they are not. */
  readonly pullsSince: number | null
}

/**
 * A replica records a pull at most once an hour, and a minute later at most. If another replica recorded one in that hour, the
 * next record may follow an hour later. So a tag may have been pulled this long after the record says so.
 */
export const recordedWithinMillis = 3 * 60 * 60 * 1000

/** Decides all tags of a repository, in their order. A tag that is about another manifest has no age of its own. */
export const decide = (
  rules: ReadonlyArray<KeepRule>,
  tags: ReadonlyArray<DatedTag>,
  at: DecideAt
): ReadonlyArray<Decision> => {
  const judged = tags.filter(({ name }) => !isAttachedTag(name))
  const keepers = rules.map((rule) => ({ rule, keeps: keeperOf(rule, judged, at) }))
  return tags.map((tag): Decision => {
    if (isAttachedTag(tag.name))
      return { tag, keptBy: "its name: it belongs to another manifest", reason: "attached" }
    const kept = keepers.flatMap(({ keeps, rule }) => {
      const reason = keeps(tag)
      return reason === null ? [] : [{ tag, keptBy: describe(rule) + wordsOf[reason], reason }]
    })
    return (
      kept.find(({ reason }) => reason === "rule") ??
      kept[0] ?? { tag, keptBy: null, reason: "none" as const }
    )
  })
}

const wordsOf = { rule: "", unrecorded: " (pulls are not recorded for that long yet)" } as const

type Keeper = (tag: DatedTag) => "rule" | "unrecorded" | null

/** Returns how one rule judges a tag. */
const keeperOf = (
  { newest, pulledWithin, pushedWithin, tags: patterns }: KeepRule,
  all: ReadonlyArray<DatedTag>,
  { now, pullsSince }: DecideAt
): Keeper => {
  const isMeant = ({ name }: DatedTag) => patterns === undefined || matchesTag(patterns, name)
  const when = (keeps: (tag: DatedTag) => boolean): Keeper => {
    return (tag) => (isMeant(tag) && keeps(tag) ? "rule" : null)
  }
  if (newest !== undefined) {
    const times = all.filter(isMeant).map(({ pushedAt }) => pushedAt)
    const last = times.sort((a, b) => b - a)[newest - 1] ?? Number.NEGATIVE_INFINITY
    return when(({ pushedAt }) => pushedAt >= last)
  }
  if (pushedWithin !== undefined) {
    const since = now - Duration.toMillis(pushedWithin)
    return when(({ pushedAt }) => pushedAt > since)
  }
  if (pulledWithin !== undefined) {
    const since = now - Duration.toMillis(pulledWithin)
    const isRecorded = pullsSince !== null && pullsSince + recordedWithinMillis <= since
    return (tag) => {
      if (!isMeant(tag)) return null
      const usedAt = Math.max(tag.pushedAt, (tag.pulledAt ?? Number.NEGATIVE_INFINITY) + recordedWithinMillis)
      return usedAt > since ? "rule" : isRecorded ? null : "unrecorded"
    }
  }
  return when(() => true)
}

/**
 * Keeps the tags of manifests that an index lists which a kept tag names. `listed` are the manifests of tags that would be
 * removed, with the indexes that list them.
 */
export const keepListed = (
  decisions: ReadonlyArray<Decision>,
  listed: ReadonlyArray<ListedManifest>
): ReadonlyArray<Decision> => {
  const nameOfKept = new Map<Digest, string>()
  for (const { keptBy, tag } of decisions) if (keptBy !== null) nameOfKept.set(tag.digest, tag.name)
  const keeperOf = new Map<Digest, string>()
  // An index may list indexes, so the search is repeated until it finds no more.
  for (let found = true; found; ) {
    found = false
    for (const { digest, index } of listed) {
      const name = nameOfKept.get(index)
      if (name === undefined || nameOfKept.has(digest)) continue
      nameOfKept.set(digest, name)
      keeperOf.set(digest, name)
      found = true
    }
  }
  return decisions.map((decision) => {
    const index = decision.keptBy === null ? keeperOf.get(decision.tag.digest) : undefined
    return index === undefined ? decision : { ...decision, keptBy: `the index ${index}`, reason: "index" }
  })
}

/**
 * Returns the names of the tags that were to be removed at an earlier instant already, by the tags that are here now. A pull or
 * push after that instant leaves its tag out.
 */
export const goneAt = (
  rules: ReadonlyArray<KeepRule>,
  tags: ReadonlyArray<DatedTag>,
  at: DecideAt
): ReadonlySet<string> => {
  const then = tags.filter(({ pushedAt }) => pushedAt <= at.now)
  return new Set(decide(rules, then, at).flatMap(({ keptBy, tag }) => (keptBy === null ? tag.name : [])))
}
