/** What judged tags of a repository add to what a breaker judges, and when they are to be judged again. */
import { Result } from "effect"
import type { Judgement, RetentionState, TagUse } from "../database/RegistryDatabase.ts"
import { type Decision, decide, goneAt } from "./Decide.ts"
import { parse, type RetentionRules, rulesFor } from "./RetentionRules.ts"
import type { JudgedRepository, JudgeOptions } from "./Tags.ts"

/** What tags are weighed against. */
export interface WeighOptions extends JudgeOptions {
  /** The rules by which tags were last removed; null if none were, or if this program cannot read them. */
  readonly accepted: RetentionRules | null
  /** When a person last confirmed the breaker; null if that never happened. */
  readonly confirmedAt: number | null
}

/**
 * A repository is judged again after half a day to a day even if nothing is known to have changed. So a change that no push
 * shows, such as an index that a client deleted, is found within a day.
 */
export const judgeAgainAfterMillis = 24 * 60 * 60 * 1000

/** Returns rules that were noted as text; null where there are none that this program can read. */
export const acceptedOf = ({ accepted }: RetentionState): RetentionRules | null =>
  accepted === null ? null : Result.getOrElse(parse(accepted), () => null)

/** Returns the tags that no rule keeps. */
export const removedOf = ({ decisions }: JudgedRepository): ReadonlyArray<TagUse> =>
  decisions.flatMap(({ keptBy, tag }) => (keptBy === null ? [tag] : []))

/** Returns what is noted of a repository. */
export const weigh = (one: JudgedRepository, options: WeighOptions): Judgement => {
  const removed = removedOf(one)
  return {
    repository: one.repository,
    dueAt: dueAt(one, options.now),
    tags: one.tags.length,
    removable: removed.length,
    stricter: stricter(one, removed, options),
    confirmed: confirmed(one, removed, options)
  }
}

/** Returns what is noted of a repository without tags, which forgets it. */
export const withoutTags = (repository: string): Judgement => ({
  repository,
  dueAt: 0,
  tags: 0,
  removable: 0,
  stricter: 0,
  confirmed: 0
})

/** Returns when one of its tags may lose what keeps it, within {@link judgeAgainAfterMillis}. */
const dueAt = ({ decisions, repository }: JudgedRepository, now: number): number => {
  const again = now + Math.ceil(judgeAgainAfterMillis * (0.5 + 0.5 * spreadOf(repository)))
  return decisions.reduce((first, { until }) => Math.min(first, until), again)
}

/** Returns a number of [0, 1) for a name, so that repositories that were judged together are not due together. */
const spreadOf = (name: string): number => {
  let hash = 2166136261
  for (let n = 0; n < name.length; n++) hash = Math.imul(hash ^ name.charCodeAt(n), 16777619)
  return (hash >>> 0) / 2 ** 32
}

/** Counts the tags that were to be removed when a person confirmed. */
const confirmed = (
  { rules, tags }: JudgedRepository,
  removed: ReadonlyArray<TagUse>,
  { confirmedAt, pullsSince }: WeighOptions
): number => {
  if (confirmedAt === null || removed.length === 0) return 0
  const gone = goneAt(rules, tags, { now: confirmedAt, pullsSince })
  return removed.filter(({ name }) => gone.has(name)).length
}

/** Counts the tags that other rules keep. */
const stricter = (
  { repository, tags }: JudgedRepository,
  removed: ReadonlyArray<TagUse>,
  { accepted, ...at }: WeighOptions
): number => {
  if (removed.length === 0) return 0
  const rules = accepted === null ? null : rulesFor(accepted, repository)
  if (rules === null) return removed.length
  const byOthers = new Map(decide(rules, tags, at).map(({ keptBy, tag }) => [tag.name, keptBy]))
  return removed.filter(({ name }) => byOthers.get(name) !== null).length
}

/** How many tags are kept, by reason. */
export type KeptCounts = Record<Exclude<Decision["reason"], "none">, number>

/** Returns counts of nothing. */
export const noneKept = (): KeptCounts => ({ rule: 0, unrecorded: 0, attached: 0, index: 0 })

/** Adds the tags of a repository that are kept. */
export const addKept = (kept: KeptCounts, { decisions }: JudgedRepository): void => {
  for (const { reason } of decisions) if (reason !== "none") kept[reason] += 1
}
