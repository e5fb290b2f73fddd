/** Judges all tags and remembers those that would be removed, with the numbers by which a breaker judges them. */
import { Effect, Result } from "effect"
import type { Exposure } from "../../database/Database.ts"
import type { RetentionState, TagUse } from "../database/RegistryDatabase.ts"
import { type Decision, decide, goneAt } from "./Decide.ts"
import { parse, type RetentionRules, rulesFor } from "./RetentionRules.ts"
import { forEachRepository, type JudgedRepository, type JudgeOptions } from "./Tags.ts"

/** Most tags that a sweep removes: what it remembers of them takes about 20 MB. The next sweep removes the rest. */
const removalsMax = 50_000

/** The tags of a repository that no rule keeps. */
export interface Removal {
  readonly repository: string
  /** As they were read, so that only an unchanged tag is removed. */
  readonly tags: ReadonlyArray<TagUse>
}

/** What a sweep would remove. */
export interface Plan {
  /** Tags that were judged. */
  readonly judged: number
  /** Tags that no rule keeps. */
  readonly count: number
  /** Those of them that the rules by which tags were last removed keep. */
  readonly stricter: number
  /** What the breaker judges. */
  readonly exposure: Exposure
  /** How many tags are kept, by reason. */
  readonly kept: Readonly<Record<Exclude<Decision["reason"], "none">, number>>
  /** The tags to remove, at most {@link removalsMax}. */
  readonly removals: ReadonlyArray<Removal>
  /** Tags without a date. */
  readonly undated: ReadonlyArray<TagUse>
}

/** What a plan is made from. */
export interface PlanOptions extends JudgeOptions {
  /** The rules in force. */
  readonly rules: RetentionRules
  /** What is remembered between sweeps. */
  readonly state: RetentionState
  /** When a person last confirmed the breaker; null if that never happened. */
  readonly confirmedAt: number | null
}

/** Returns rules that were noted as text; null where there are none that this program can read. */
export const acceptedOf = ({ accepted }: RetentionState): RetentionRules | null =>
  accepted === null ? null : Result.getOrElse(parse(accepted), () => null)

/** Makes the plan, or returns null if `mayContinue` ended it: a part of the tags cannot be judged by a breaker. */
export const make = Effect.fnUntraced(function* (options: PlanOptions) {
  const { confirmedAt, rules, state } = options
  const accepted = acceptedOf(state)
  const since = Math.max(state.judgedAt ?? Number.POSITIVE_INFINITY, confirmedAt ?? Number.NEGATIVE_INFINITY)
  const kept = { rule: 0, unrecorded: 0, attached: 0, index: 0 }
  const removals: Array<Removal> = []
  const undated: Array<TagUse> = []
  const sum = { judged: 0, count: 0, remembered: 0, stricter: 0, counted: 0, pushed: 0 }
  const isComplete = yield* forEachRepository(rules, options, (one) =>
    Effect.sync(() => {
      const removed = one.decisions.flatMap(({ keptBy, tag }) => (keptBy === null ? [tag] : []))
      for (const { reason } of one.decisions) if (reason !== "none") kept[reason] += 1
      sum.judged += one.tags.length
      sum.count += removed.length
      sum.pushed += one.tags.filter(({ pushedAt }) => pushedAt > since).length
      sum.counted += removed.length - confirmed(one, removed, options)
      sum.stricter += stricter(one, removed, accepted, options)
      undated.push(...one.undated.slice(0, removalsMax - undated.length))
      const remembered = removed.slice(0, removalsMax - sum.remembered)
      sum.remembered += remembered.length
      if (remembered.length > 0) removals.push({ repository: one.repository, tags: remembered })
    })
  )
  if (!isComplete) return null
  const remaining = sum.judged - sum.count
  // Where none would remain, no push has replaced what is removed.
  const blobs = remaining === 0 ? sum.counted : Math.max(0, sum.counted - sum.pushed)
  const exposure: Exposure = { blobs, bytes: 0, totalBlobs: remaining + blobs, totalBytes: 0 }
  const { count, judged } = sum
  return { judged, count, stricter: sum.stricter, exposure, kept, removals, undated } satisfies Plan as Plan
})

/** Counts the tags that were to be removed when a person confirmed. */
const confirmed = (
  { rules, tags }: JudgedRepository,
  removed: ReadonlyArray<TagUse>,
  { confirmedAt, pullsSince }: PlanOptions
): number => {
  if (confirmedAt === null || removed.length === 0) return 0
  const gone = goneAt(rules, tags, { now: confirmedAt, pullsSince })
  return removed.filter(({ name }) => gone.has(name)).length
}

/** Counts the tags that other rules keep. */
const stricter = (
  { repository, tags }: JudgedRepository,
  removed: ReadonlyArray<TagUse>,
  accepted: RetentionRules | null,
  at: PlanOptions
): number => {
  const rules = accepted === null ? null : rulesFor(accepted, repository)
  if (rules === null) return removed.length
  const byOthers = new Map(decide(rules, tags, at).map(({ keptBy, tag }) => [tag.name, keptBy]))
  return removed.filter(({ name }) => byOthers.get(name) !== null).length
}
