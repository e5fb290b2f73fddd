/**
 * Removes tags that no retention rule keeps. It deletes no manifest and no byte: a manifest that loses its last tag is untagged,
 * and is deleted after GC_UNTAGGED_GRACE unless it is tagged again, or an index or a subject needs it.
 *
 * All tags are judged before the first is removed, so that the breaker sees the whole. Rules that are new, or keep less than
 * those by which tags were last removed, wait for a person even if they remove a single tag (docs/decisions/0044).
 */
import { Effect } from "effect"
import { type BreakerState, CollectorDatabase } from "../../database/Database.ts"
import * as Breaker from "../../sweep/Breaker.ts"
import type { Phase, PhaseContext } from "../../sweep/Phase.ts"
import { RegistryDatabase, type RetentionState } from "../database/RegistryDatabase.ts"
import * as Plan from "../retention/Plan.ts"
import { canonical, Retention, type RetentionRules } from "../retention/RetentionRules.ts"
import { judgingNow } from "../retention/Tags.ts"

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
    yield* context.dryRun ? preview(context, rules, state) : remove(context, rules, state)
  })
}

const remove = Effect.fnUntraced(function* (
  context: PhaseContext,
  rules: RetentionRules,
  state: RetentionState
) {
  const { retention: verbs } = yield* RegistryDatabase
  const closed = yield* Breaker.requireClosed(breaker)
  const at = yield* judgingNow(context.settings)
  const plan = yield* dated(context, rules, state, closed, at)
  if (plan === null) return
  countAll(context, plan)
  yield* judge(context, rules, closed, plan, at.now)
  yield* Breaker.noteLoss(breaker, plan.exposure)
  const pages = plan.removals.flatMap(({ repository, tags }) =>
    pagesOf(tags, context.settings.batchMax).map((page) => ({ repository, tags: page }))
  )
  const isComplete = yield* context.pages(
    Effect.fnUntraced(function* (cursor: number | null) {
      const page = pages[cursor ?? 0]
      if (page === undefined) return null
      // Another collector may have opened it since.
      yield* Breaker.requireClosed(breaker)
      yield* removePage(context, page, at.now)
      return (cursor ?? 0) + 1
    })
  )
  const planned = plan.removals.reduce((sum, { tags }) => sum + tags.length, 0)
  if (planned < plan.count) context.counts.stoppedBy("count")
  if (isComplete) yield* verbs.settle(at.now, canonical(rules))
})

/** Makes the plan, and gives dates to tags without one: these count as pushed now, and from now on. */
const dated = Effect.fnUntraced(function* (
  context: PhaseContext,
  rules: RetentionRules,
  state: RetentionState,
  closed: BreakerState,
  at: { readonly now: number; readonly latest: number }
) {
  const { retention: verbs } = yield* RegistryDatabase
  const plan = yield* planOf(context, rules, state, closed, at)
  if (plan === null || plan.undated.length === 0) return plan
  for (const page of pagesOf(plan.undated, context.settings.batchMax))
    yield* verbs.date(at.now, at.latest, page)
  // A program without dates records no pulls, so what was decided by the record is decided again.
  const { pullsSince } = (yield* verbs.state) ?? state
  return pullsSince === state.pullsSince
    ? plan
    : yield* planOf(context, rules, { ...state, pullsSince }, closed, at)
})

const removePage = Effect.fnUntraced(function* (
  { counts }: PhaseContext,
  { repository, tags }: Plan.Removal,
  now: number
) {
  const { retention: verbs } = yield* RegistryDatabase
  const removed = new Set(yield* verbs.untag(now, repository, tags))
  counts.eligible(removed.size, 0, [])
  counts.kept("untagged", removed.size)
  counts.kept("changed", tags.length - removed.size)
  const gone = tags.filter(({ name }) => removed.has(name))
  // The names and digests are in no table any more, so the log is where a person finds them.
  if (gone.length > 0)
    yield* Effect.annotateLogs(
      Effect.logInfo(
        `Retention rules removed ${gone.length} tags of ${repository}. Their manifests stay for GC_UNTAGGED_GRACE, and longer if something else needs them.`
      ),
      { tags: gone.map(({ digest, name }) => `${repository}:${name}@${digest}`) }
    )
})

/** Lets the plan pass, or opens the breaker and fails with `BreakerOpen`. */
const judge = Effect.fnUntraced(function* (
  { settings }: PhaseContext,
  rules: RetentionRules,
  { confirmedAt }: BreakerState,
  plan: Plan.Plan,
  now: number
) {
  const { retention: verbs } = yield* RegistryDatabase
  if (plan.stricter > 0 && settings.breakerPercent < 100) {
    const proposedAt = yield* verbs.propose(now, canonical(rules))
    if (confirmedAt === null || confirmedAt <= proposedAt)
      return yield* Breaker.trip(breaker, { confirmedAt, exposure: stricterOf(plan), at: now })
  }
  yield* Breaker.judge(settings, { ...breaker, exposure: () => Effect.succeed(plan.exposure) })
})

const stricterOf = ({ judged, stricter }: Plan.Plan) => ({
  ...Breaker.nothing,
  blobs: stricter,
  totalBlobs: judged
})

const preview = Effect.fnUntraced(function* (
  context: PhaseContext,
  rules: RetentionRules,
  state: RetentionState
) {
  const { breakers } = yield* CollectorDatabase
  const { settings } = context
  const known = yield* breakers.read(breaker.name)
  const at = yield* judgingNow(settings)
  const plan = yield* planOf(context, rules, state, known, at)
  if (plan === null) return
  countAll(context, plan)
  const names = plan.removals.flatMap(({ repository, tags }) =>
    tags.map(({ name }) => `${repository}:${name}`)
  )
  context.counts.eligible(plan.count, 0, names)
  const { confirmedAt } = yield* Breaker.requireClosed(breaker)
  const isConfirmed =
    state.proposed === canonical(rules) && confirmedAt !== null && confirmedAt > (state.proposedAt ?? 0)
  if (plan.stricter > 0 && settings.breakerPercent < 100 && !isConfirmed) {
    const exposure = stricterOf(plan)
    return yield* Breaker.opened(breaker, { trippedAt: at.now, exposure }, { foreseen: true })
  }
  yield* Breaker.foresee(settings, { ...breaker, exposure: () => Effect.succeed(plan.exposure) })
})

const countAll = ({ counts }: PhaseContext, plan: Plan.Plan): void => {
  counts.seen(plan.judged)
  for (const [reason, count] of Object.entries(plan.kept)) counts.kept(reason, count)
}

const planOf = (
  { mayContinue }: PhaseContext,
  rules: RetentionRules,
  state: RetentionState,
  { confirmedAt }: BreakerState,
  at: { readonly now: number; readonly latest: number }
) => Plan.make({ ...at, rules, state, confirmedAt, pullsSince: state.pullsSince, mayContinue })

const pagesOf = <A>(all: ReadonlyArray<A>, size: number): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.slice(n * size, (n + 1) * size))
