/**
 * Removes tags that no retention rule keeps. It deletes no manifest and no byte: a manifest that loses its last tag is untagged,
 * and is deleted after GC_UNTAGGED_GRACE unless it is tagged again, or an index or a subject needs it.
 *
 * All tags are judged before the first is removed, so that the breaker sees the whole. A sweep judges those of repositories in
 * which something may have changed, and adds what earlier sweeps noted of the others. Rules that are new, or keep less than those
 * by which tags were last removed, wait for a person even if they remove a single tag (docs/decisions/0044 and 0054).
 */
import { Effect } from "effect"
import { type BreakerState, CollectorDatabase, type Exposure } from "../../database/Database.ts"
import * as Breaker from "../../sweep/Breaker.ts"
import type { Phase, PhaseContext } from "../../sweep/Phase.ts"
import { type JudgedSums, RegistryDatabase, type RetentionState } from "../database/RegistryDatabase.ts"
import { Bounds, type Judging, judgeChanged, keyOf } from "../retention/Judge.ts"
import * as Plan from "../retention/Plan.ts"
import { remove } from "../retention/Remove.ts"
import { canonical, Retention, type RetentionRules, rulesFor } from "../retention/RetentionRules.ts"
import { judgingNow, repositoriesAtATime } from "../retention/Tags.ts"
import { acceptedOf, noneKept } from "../retention/Weigh.ts"

/** Counts tags, less those that were pushed since the rules last judged: a new build replaces an old one. */
export const breaker: Breaker.Breaker = {
  name: "retention",
  describe: ({ blobs, totalBlobs }) =>
    `no retention rule keeps ${Breaker.shareOf(blobs, totalBlobs)} tags. The rules are new, or keep less than before, or remove more than is usual`,
  look: "`artifact-gc retention` shows each tag and the rule that keeps it. If the rules are wrong, correct REGISTRY_RETENTION_FILE",
  emptiedFrom: 10
}

/** Before manifests: a tag that is removed is seen untagged in the same sweep. Without rules it asks nothing. */
export const retention: Phase<CollectorDatabase | RegistryDatabase> = {
  name: "retention",
  timeShare: 1 / 4,
  requires: [CollectorDatabase, RegistryDatabase, Retention],
  breaker,
  isQuiet: true,
  run: Effect.fnUntraced(function* (context) {
    const rules = yield* yield* Retention
    if (rules === null || rules.policies.length === 0) return
    const state = yield* (yield* RegistryDatabase).retention.state
    // Without the registry's tables there are no tags.
    if (state === null) return
    yield* context.dryRun ? preview(context, rules, state) : collect(context, rules, state)
  })
}

/** What the breaker judges. */
interface Due {
  /** Tags that no rule keeps and that the rules before kept, and all tags. */
  readonly stricter: Exposure
  readonly exposure: Exposure
}

const collect = Effect.fnUntraced(function* (
  context: PhaseContext,
  rules: RetentionRules,
  state: RetentionState
) {
  const { retention: verbs } = yield* RegistryDatabase
  const closed = yield* Breaker.requireClosed(breaker)
  const at = yield* judgingNow(context.settings)
  const judging: Judging = {
    context,
    bounds: yield* Bounds,
    rules,
    key: keyOf(rules, state),
    against: {
      ...at,
      accepted: acceptedOf(state),
      confirmedAt: closed.confirmedAt,
      pullsSince: state.pullsSince,
      mayContinue: context.mayContinue
    },
    judged: 0,
    found: 0,
    isCurrent: true,
    kept: noneKept()
  }
  const isWhole = yield* judgeChanged(judging)
  for (const [reason, count] of Object.entries(judging.kept)) context.counts.kept(reason, count)
  if (!isWhole) return
  if (!(yield* removable(judging, state, closed))) return
  const accepted = canonical(rules)
  yield* verbs.settle(at.now, accepted, { before: judging.key, after: keyOf(rules, { ...state, accepted }) })
})

/** Removes the tags that no rule keeps if the breaker lets them pass. Returns whether none is left that a bound kept. */
const removable = Effect.fnUntraced(function* (
  judging: Judging,
  state: RetentionState,
  closed: BreakerState
) {
  const { retention: verbs } = yield* RegistryDatabase
  const { context, rules } = judging
  const noted = yield* verbs.sums(judging.key)
  if (noted === null || noted.removable === 0) return noted !== null
  const due = yield* dueOf(judging, noted, state, closed)
  yield* judge(context, rules, closed, due, judging.against.now)
  // What is beyond the bound of a sweep is noted when it is removed.
  yield* Breaker.noteLoss(breaker, { blobs: Math.min(due.exposure.blobs, judging.bounds.removed), bytes: 0 })
  return yield* remove(judging, breaker)
})

/** Returns what the breaker judges, by the sums of all judgements. */
const dueOf = Effect.fnUntraced(function* (
  { context, kept, rules }: Judging,
  noted: JudgedSums,
  state: RetentionState,
  { confirmedAt }: BreakerState
) {
  const { retention: verbs } = yield* RegistryDatabase
  const counted = noted.removable - noted.confirmed
  const since = Plan.pushedSince(state, confirmedAt)
  const pushes = counted > 0 && Number.isFinite(since) ? yield* verbs.pushes(since) : []
  const pushed = pushes.reduce(
    (sum, one) => (rulesFor(rules, one.repository) === null ? sum : sum + one.pushed),
    0
  )
  const isFew = counted <= (breaker.emptiedFrom ?? 0)
  const hasKept = Object.values(kept).some((count) => count > 0)
  const isReplaced = counted - pushed <= context.settings.breakerBlobs
  // Clients may have deleted tags since they were judged, so the sum is exact only where it decides.
  const tags = isFew || (hasKept && isReplaced) ? noted.tags : yield* countTags
  const sums: JudgedSums = { ...noted, tags }
  // Judgements that were noted before the rules were accepted compare them with others.
  const stricter = state.accepted === canonical(rules) ? 0 : noted.stricter
  return { stricter: stricterOf(sums.tags, stricter), exposure: Plan.exposureOf(sums, pushed) } satisfies Due
})

const countTags = Effect.gen(function* () {
  const { retention } = yield* RegistryDatabase
  let tags = 0
  for (let after: string | null = ""; after !== null; ) {
    const page: Effect.Success<ReturnType<typeof retention.count>> = yield* retention.count(
      after,
      repositoriesAtATime
    )
    tags += page.tags
    after = page.last
  }
  return tags
})

/** Lets the tags pass, or opens the breaker and fails with `BreakerOpen`. */
const judge = Effect.fnUntraced(function* (
  { settings }: PhaseContext,
  rules: RetentionRules,
  { confirmedAt }: BreakerState,
  { exposure, stricter }: Due,
  now: number
) {
  const { retention: verbs } = yield* RegistryDatabase
  if (stricter.blobs > 0 && settings.breakerPercent < 100) {
    const proposedAt = yield* verbs.propose(now, canonical(rules))
    if (confirmedAt === null || confirmedAt <= proposedAt)
      return yield* Breaker.trip(breaker, { confirmedAt, exposure: stricter, at: now })
  }
  yield* Breaker.judge(settings, { ...breaker, exposure: () => Effect.succeed(exposure) })
})

const stricterOf = (tags: number, stricter: number): Exposure => ({
  ...Breaker.nothing,
  blobs: stricter,
  totalBlobs: tags
})

/** A dry run notes nothing, so it judges all tags. */
const preview = Effect.fnUntraced(function* (
  context: PhaseContext,
  rules: RetentionRules,
  state: RetentionState
) {
  const { breakers } = yield* CollectorDatabase
  const { counts, mayContinue, settings } = context
  const known = yield* breakers.read(breaker.name)
  const at = yield* judgingNow(settings)
  const { pullsSince } = state
  const plan = yield* Plan.make({
    ...at,
    rules,
    state,
    confirmedAt: known.confirmedAt,
    pullsSince,
    mayContinue
  })
  if (plan === null) return
  const { kept, names, pushed, sums } = plan
  counts.seen(sums.tags)
  for (const [reason, count] of Object.entries(kept)) counts.kept(reason, count)
  counts.eligible(sums.removable, 0, names)
  const { confirmedAt } = yield* Breaker.requireClosed(breaker)
  const isConfirmed =
    state.proposed === canonical(rules) && confirmedAt !== null && confirmedAt > (state.proposedAt ?? 0)
  if (sums.stricter > 0 && settings.breakerPercent < 100 && !isConfirmed) {
    const exposure = stricterOf(sums.tags, sums.stricter)
    return yield* Breaker.opened(breaker, { trippedAt: at.now, exposure }, { foreseen: true })
  }
  yield* Breaker.foresee(settings, {
    ...breaker,
    exposure: () => Effect.succeed(Plan.exposureOf(sums, pushed))
  })
})
