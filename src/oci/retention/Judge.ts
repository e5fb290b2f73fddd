/**
 * Judges the repositories in which something may have changed: those that were pushed to, and those of which time may have ended
 * what a rule keeps. New rules judge all repositories. What is judged is noted, so that the next sweep continues behind it.
 */
import { createHash } from "node:crypto"
import { Context, Duration, Effect } from "effect"
import type { PhaseContext } from "../../sweep/Phase.ts"
import {
  type Judgement,
  type JudgingProgress,
  RegistryDatabase,
  type RetentionState,
  type TagUse
} from "../database/RegistryDatabase.ts"
import { canonical, type RetentionRules, rulesFor } from "./RetentionRules.ts"
import { forEachOf, type JudgedRepository, repositoriesAtATime } from "./Tags.ts"
import {
  addKept,
  judgeAgainAfterMillis,
  type KeptCounts,
  type WeighOptions,
  weigh,
  withoutTags
} from "./Weigh.ts"

/** How much one sweep does. The next sweep continues. */
export interface RetentionBounds {
  /** No repository is judged after so many tags: some seconds of work. */
  readonly judged: number
  /** Most tags that are removed. */
  readonly removed: number
}

/** The bounds of a sweep. Default: 500,000 tags that are judged, and 50,000 that are removed. */
export const Bounds = Context.Reference<RetentionBounds>("artifact-gc/oci/retention/Judge/Bounds", {
  defaultValue: () => ({ judged: 500_000, removed: 50_000 })
})

/** A push is committed within this time after the instant that dates it. One that takes longer is found a day later. */
const commitWithinMillis = 60 * 1000

/** What a sweep judges by, and what it found. */
export interface Judging {
  readonly context: PhaseContext
  readonly bounds: RetentionBounds
  readonly rules: RetentionRules
  /** Names the rules, and those by which tags were last removed. */
  readonly key: string
  /** Changes if a tag is found that a program without dates moved. */
  against: WeighOptions
  /** Tags that were judged. */
  judged: number
  /** Those of them that no rule keeps. */
  found: number
  /** False if what was judged earlier may have to be judged again. */
  isCurrent: boolean
  readonly kept: KeptCounts
}

/**
 * Returns the key of judgements by rules, compared with those that were accepted as text. Once pulls are recorded, all tags are
 * judged anew: before, nothing shows when time ends what a rule about pulls keeps.
 */
export const keyOf = (
  rules: RetentionRules,
  { accepted, pullsSince }: Pick<RetentionState, "accepted" | "pullsSince">
): string => {
  const text = canonical(rules)
  const compared = accepted === text ? "" : (accepted ?? "none")
  const isRecorded = pullsSince !== null
  return createHash("sha256")
    .update(JSON.stringify([text, compared, isRecorded]))
    .digest("hex")
}

/**
 * Judges all of which the judgement is missing or outdated. Returns false if a bound ended it, or if another collector judges by
 * other rules: then the sums of the judgements are no measure yet.
 */
export const judgeChanged = Effect.fnUntraced(function* (judging: Judging) {
  const { retention } = yield* RegistryDatabase
  const { against, context, key } = judging
  const { latest, now } = against
  const looked = { from: now - judgeAgainAfterMillis, to: latest }
  const begun = yield* retention.begin(now, key, looked)
  if (begun.listedTo !== null && !(yield* judgeAll(judging, begun))) return false
  const slack = Duration.toMillis(context.settings.clockTolerance) + commitWithinMillis
  if (!(yield* judgePushed(judging, begun.lookedAt, slack))) return false
  if (!(yield* judgeDue(judging))) return false
  return judging.isCurrent && (yield* retention.note(now, key, [], { listedTo: null, lookedAt: now }))
})

/** Judges all repositories behind those that were judged. */
const judgeAll = Effect.fnUntraced(function* (judging: Judging, { listedTo, lookedAt }: JudgingProgress) {
  const { manifests } = yield* RegistryDatabase
  let after = listedTo
  do {
    const names: ReadonlyArray<string> = yield* manifests.repositories(
      after === "" ? null : after,
      repositoriesAtATime
    )
    const next: string | null = names.length < repositoriesAtATime ? null : (names.at(-1) ?? null)
    const isDone = yield* judgeEach(judging, names, (last) => ({
      listedTo: last === null ? next : last,
      lookedAt
    }))
    if (!isDone) return false
    after = next
  } while (after !== null)
  return true
})

/** Judges the repositories with a push that their judgement may not know. */
const judgePushed = Effect.fnUntraced(function* (judging: Judging, lookedAt: number, slack: number) {
  const { retention } = yield* RegistryDatabase
  const { now } = judging.against
  const pushed = yield* retention.pushes(lookedAt - slack)
  const names = pushed.flatMap(({ judgedAt, lastAt, repository }) => {
    const isKnown = judgedAt !== null && (judgedAt >= now || (lastAt !== null && lastAt + slack < judgedAt))
    return isKnown || rulesFor(judging.rules, repository) === null ? [] : repository
  })
  for (let n = 0; n < names.length; n += repositoriesAtATime)
    if (!(yield* judgeEach(judging, names.slice(n, n + repositoriesAtATime)))) return false
  return true
})

/** Judges the repositories that are due, and those of which a confirmation or a gap in the record of pulls changed the count. */
const judgeDue = Effect.fnUntraced(function* (judging: Judging) {
  const { retention } = yield* RegistryDatabase
  const { confirmedAt, now, pullsSince } = judging.against
  const changes = [confirmedAt, pullsSince].flatMap((at) => at ?? [])
  const by = { now, changedAt: changes.length === 0 ? null : Math.max(...changes) }
  for (;;) {
    const names = yield* retention.due(by, repositoriesAtATime)
    if (names.length === 0) return true
    if (!(yield* judgeEach(judging, names))) return false
  }
})

/**
 * Judges repositories and notes what was found. `progress` is noted with it, for the last repository if a bound ended the work, and
 * for null if all were judged. Returns whether all were judged and noted.
 */
const judgeEach = Effect.fnUntraced(function* (
  judging: Judging,
  names: ReadonlyArray<string>,
  progress?: (last: string | null) => JudgingProgress
) {
  const { retention } = yield* RegistryDatabase
  const { key, rules } = judging
  const found: Array<Judgement> = []
  const options = { ...judging.against, mayContinue: mayJudge(judging) }
  const isDone = yield* forEachOf(rules, names, options, (one) =>
    Effect.map(judgeOne(judging, one, options.pullsSince), (judgement) => {
      found.push(judgement)
    })
  )
  const last = found.at(-1)?.repository ?? null
  const withTags = new Set(found.map(({ repository }) => repository))
  for (const repository of names)
    if (!withTags.has(repository) && (isDone || (last !== null && repository < last)))
      found.push(withoutTags(repository))
  const reached = isDone || last !== null ? progress?.(isDone ? null : last) : undefined
  const isOurs = yield* retention.note(judging.against.now, key, found, reached)
  if (!isOurs)
    yield* Effect.logWarning(
      "Another collector judges tags by other retention rules, so this sweep removed none. Give all collectors of a catalogue the same REGISTRY_RETENTION_FILE."
    )
  return isDone && isOurs
})

const mayJudge = (judging: Judging): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    if (judging.judged < judging.bounds.judged) return judging.context.mayContinue
    judging.context.counts.stoppedBy("count")
    return Effect.succeed(false)
  })

/** Judges one repository. Dates tags without a date: these count as pushed now, and from now on. */
const judgeOne = Effect.fnUntraced(function* (
  judging: Judging,
  found: JudgedRepository,
  pullsSince: number | null
) {
  yield* date(judging, found.undated)
  // A program without dates records no pulls, so what was decided by the record is decided again.
  const one = judging.against.pullsSince === pullsSince ? found : yield* judgeAgain(judging, found)
  const judgement = weigh(one, judging.against)
  judging.context.counts.seen(judgement.tags)
  judging.judged += judgement.tags
  judging.found += judgement.removable
  addKept(judging.kept, one)
  return judgement
})

const date = Effect.fnUntraced(function* (judging: Judging, undated: ReadonlyArray<TagUse>) {
  if (undated.length === 0) return
  const { retention } = yield* RegistryDatabase
  const { against, context } = judging
  for (let n = 0; n < undated.length; n += context.settings.batchMax)
    yield* retention.date(against.now, against.latest, undated.slice(n, n + context.settings.batchMax))
  const pullsSince = (yield* retention.state)?.pullsSince ?? null
  if (pullsSince === against.pullsSince) return
  judging.against = { ...against, pullsSince }
  judging.isCurrent &&= judging.found === 0
})

const judgeAgain = Effect.fnUntraced(function* ({ against, rules }: Judging, one: JudgedRepository) {
  let again = one
  const options = { ...against, mayContinue: Effect.succeed(true) }
  yield* forEachOf(rules, [one.repository], options, (found) =>
    Effect.sync(() => {
      again = found
    })
  )
  return again
})
