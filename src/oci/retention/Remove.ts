/**
 * Removes the tags that no rule keeps, repository by repository. The tags are judged once more, so nothing is removed by what an
 * earlier sweep noted, and the transaction of the removal keeps a tag that changed since.
 */
import { Effect } from "effect"
import * as Breaker from "../../sweep/Breaker.ts"
import type { PhaseContext } from "../../sweep/Phase.ts"
import { type Judgement, RegistryDatabase, type TagUse } from "../database/RegistryDatabase.ts"
import type { Judging } from "./Judge.ts"
import { forEachOf, type JudgedRepository } from "./Tags.ts"
import { removedOf, weigh, withoutTags } from "./Weigh.ts"

/** Repositories whose tags are read at a time. */
const repositoriesAtATime = 100

/** Removes them, and returns whether none is left that a bound kept. */
export const remove = Effect.fnUntraced(function* (judging: Judging, breaker: Breaker.Breaker) {
  const { retention } = yield* RegistryDatabase
  const { context, key } = judging
  const rest = { removals: judging.bounds.removed }
  const isComplete = yield* context.pages(
    Effect.fnUntraced(function* (after: string | null) {
      const page = yield* retention.removable(key, after ?? "", repositoriesAtATime)
      if (page.length === 0 || rest.removals === 0) return null
      yield* removeFrom(judging, page, rest, breaker)
      return page.at(-1)?.repository ?? null
    })
  )
  if (rest.removals === 0) context.counts.stoppedBy("count")
  return isComplete && rest.removals > 0
})

/** Removes the tags of some repositories. What was removed is noted also where an error ends it. */
const removeFrom = Effect.fnUntraced(function* (
  judging: Judging,
  page: ReadonlyArray<Pick<Judgement, "repository" | "removable">>,
  rest: { removals: number },
  breaker: Breaker.Breaker
) {
  const { retention } = yield* RegistryDatabase
  const { against, context, key, rules } = judging
  const left = new Map<string, Judgement>()
  const passed = new Set<string>()
  const most = new Map(page.map(({ removable, repository }) => [repository, removable]))
  const note = Effect.suspend(() => retention.note(against.now, key, [...left.values()]))
  const options = { ...against, mayContinue: context.mayContinue }
  const isDone = yield* forEachOf(rules, [...most.keys()], options, (one) =>
    Effect.gen(function* () {
      passed.add(one.repository)
      if (rest.removals === 0 || (left.size > 0 && !(yield* context.mayContinue))) return
      const removed = indexesFirst(one)
      // A push since the judgement may have displaced more tags than the breaker has judged.
      const isJudged = removed.length <= (most.get(one.repository) ?? 0)
      if (!isJudged) context.counts.kept("changed", removed.length)
      const gone = isJudged ? yield* removePages(judging, one, removed.slice(0, rest.removals), breaker) : 0
      rest.removals -= gone
      left.set(one.repository, leftOf(judging, one, removed.length, gone))
    })
  ).pipe(Effect.onError(() => Effect.ignore(note)))
  // Clients have deleted the tags of the others.
  for (const repository of isDone ? most.keys() : [])
    if (!passed.has(repository)) left.set(repository, withoutTags(repository))
  yield* note
})

/** A tag is removed only after those of the indexes that list its manifest, so their tags are in no later batch. */
const indexesFirst = (one: JudgedRepository): ReadonlyArray<TagUse> => {
  const removed = removedOf(one)
  const isIndex = ({ digest }: TagUse) => one.indexes.has(digest)
  return [...removed.filter(isIndex), ...removed.filter((tag) => !isIndex(tag))]
}

/** Returns what is noted of a repository of whose `removable` tags `gone` were removed. */
const leftOf = ({ against }: Judging, one: JudgedRepository, removable: number, gone: number): Judgement => {
  const before = weigh(one, against)
  const tags = before.tags - gone
  return gone === removable
    ? { ...before, tags, removable: 0, stricter: 0, confirmed: 0 }
    : { ...before, tags, removable: removable - gone, dueAt: against.now }
}

/** Removes tags batch by batch, and returns how many were as they had been judged. */
const removePages = Effect.fnUntraced(function* (
  { against, context }: Judging,
  { repository }: JudgedRepository,
  tags: ReadonlyArray<TagUse>,
  breaker: Breaker.Breaker
) {
  const { batchMax } = context.settings
  let gone = 0
  for (let n = 0; n < tags.length; n += batchMax) {
    if (n > 0 && !(yield* context.mayContinue)) break
    // Another collector may have opened it since.
    yield* Breaker.requireClosed(breaker)
    gone += yield* removePage(context, repository, tags.slice(n, n + batchMax), against.now)
  }
  return gone
})

const removePage = Effect.fnUntraced(function* (
  { counts }: PhaseContext,
  repository: string,
  tags: ReadonlyArray<TagUse>,
  now: number
) {
  const { retention } = yield* RegistryDatabase
  const removed = new Set(yield* retention.untag(now, repository, tags))
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
  return removed.size
})
