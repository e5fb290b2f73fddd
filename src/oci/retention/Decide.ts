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
  /** The first instant at which no rule keeps the tag any more if nothing but time passes; infinite where time ends nothing. */
  readonly until: number
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
    if (isAttachedTag(tag.name)) return { tag, ...attached }
    let kept: Kept | null = null
    let by: KeepRule | null = null
    let until = Number.NEGATIVE_INFINITY
    for (const { keeps, rule } of keepers) {
      const found = keeps(tag)
      if (found === null) continue
      until = Math.max(until, found.until)
      if (kept !== null && (kept.reason === "rule" || found.reason !== "rule")) continue
      kept = found
      by = rule
    }
    return kept === null || by === null
      ? { tag, keptBy: null, reason: "none", until: Number.POSITIVE_INFINITY }
      : { tag, keptBy: describe(by) + wordsOf[kept.reason], reason: kept.reason, until }
  })
}

const attached = {
  keptBy: "its name: it belongs to another manifest",
  reason: "attached",
  until: Number.POSITIVE_INFINITY
} as const

const wordsOf = { rule: "", unrecorded: " (pulls are not recorded for that long yet)" } as const

type Kept = Pick<Decision, "until"> & { readonly reason: "rule" | "unrecorded" }

type Keeper = (tag: DatedTag) => Kept | null

const always: Kept = { reason: "rule", until: Number.POSITIVE_INFINITY }

/** Returns how one rule judges a tag. */
const keeperOf = (
  { newest, pulledWithin, pushedWithin, tags: patterns }: KeepRule,
  all: ReadonlyArray<DatedTag>,
  { now, pullsSince }: DecideAt
): Keeper => {
  const isMeant = ({ name }: DatedTag) => patterns === undefined || matchesTag(patterns, name)
  if (newest !== undefined) {
    const times = all.filter(isMeant).map(({ pushedAt }) => pushedAt)
    const last = times.sort((a, b) => b - a)[newest - 1] ?? Number.NEGATIVE_INFINITY
    return (tag) => (tag.pushedAt >= last && isMeant(tag) ? always : null)
  }
  if (pushedWithin !== undefined) {
    const within = Duration.toMillis(pushedWithin)
    return (tag) => {
      const until = tag.pushedAt + within
      return until > now && isMeant(tag) ? { reason: "rule", until } : null
    }
  }
  if (pulledWithin !== undefined) {
    const within = Duration.toMillis(pulledWithin)
    const recordedAt =
      pullsSince === null ? Number.POSITIVE_INFINITY : pullsSince + recordedWithinMillis + within
    return (tag) => {
      if (!isMeant(tag)) return null
      const usedAt = Math.max(tag.pushedAt, (tag.pulledAt ?? Number.NEGATIVE_INFINITY) + recordedWithinMillis)
      const until = Math.max(usedAt + within, recordedAt)
      if (until <= now) return null
      return { reason: usedAt + within > now ? "rule" : "unrecorded", until }
    }
  }
  return (tag) => (isMeant(tag) ? always : null)
}

/**
 * Keeps the tags of manifests that an index lists which a kept tag names. `listed` are the manifests of tags that would be
 * removed, with the indexes that list them.
 */
export const keepListed = (
  decisions: ReadonlyArray<Decision>,
  listed: ReadonlyArray<ListedManifest>
): ReadonlyArray<Decision> => {
  const listedBy = new Map<Digest, Array<Digest>>()
  for (const { digest, index } of listed) {
    const children = listedBy.get(index)
    if (children === undefined) listedBy.set(index, [digest])
    else children.push(digest)
  }
  const keeperOf = new Map<Digest, string>()
  const found: Array<readonly [index: Digest, name: string]> = []
  for (const { keptBy, tag } of decisions)
    if (keptBy !== null && listedBy.has(tag.digest)) found.push([tag.digest, tag.name])
  // An index may list indexes, so what is found to be kept is looked up in turn.
  for (let next = found.pop(); next !== undefined; next = found.pop()) {
    const [index, name] = next
    for (const digest of listedBy.get(index) ?? []) {
      keeperOf.set(digest, name)
      found.push([digest, name])
    }
    listedBy.delete(index)
  }
  return decisions.map((decision) => {
    const index = decision.keptBy === null ? keeperOf.get(decision.tag.digest) : undefined
    // It stays for as long as the tag of the index, of which that decision says how long.
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
