/** Reads and judges the tags of repositories, one repository after the other. */
import { Clock, Duration, Effect } from "effect"
import type { DatabaseError } from "../../domain/DatabaseError.ts"
import type { Digest } from "../../domain/Digest.ts"
import type { SweepSettings } from "../../sweep/Settings.ts"
import { type ListedManifest, RegistryDatabase, type TagUse } from "../database/RegistryDatabase.ts"
import { type DatedTag, type DecideAt, type Decision, decide, keepListed } from "./Decide.ts"
import { type KeepRule, type RetentionRules, rulesFor } from "./RetentionRules.ts"

/** How many names of repositories, and rows of tags, one statement reads. */
export const repositoriesAtATime = 1000
const tagsAtATime = 10_000

/** Digests that one statement looks for in indexes. */
const digestsAtATime = 1000

/** The tags of a repository, judged. */
export interface JudgedRepository {
  readonly repository: string
  /** The rules of all policies that name it. */
  readonly rules: ReadonlyArray<KeepRule>
  /** Its tags. One without a date counts as pushed now. */
  readonly tags: ReadonlyArray<DatedTag>
  /** What was decided about each. */
  readonly decisions: ReadonlyArray<Decision>
  /** The indexes that list manifests of tags which no rule keeps by itself. */
  readonly indexes: ReadonlySet<Digest>
  /** The tags without a date, and those with one ahead of the clocks. */
  readonly undated: ReadonlyArray<TagUse>
}

/** When the tags are judged, and which repositories. */
export interface JudgeOptions extends DecideAt {
  /** A push after this instant was dated by a wrong clock. */
  readonly latest: number
  /** Only this repository. Default: all. */
  readonly only?: string | undefined
  /** Asked before each page of tags. */
  readonly mayContinue: Effect.Effect<boolean>
}

/** Returns when tags are judged, if that is now. */
export const judgingNow = (settings: Pick<SweepSettings, "clockTolerance">) =>
  Effect.map(Clock.currentTimeMillis, (now) => ({
    now,
    latest: now + Duration.toMillis(settings.clockTolerance)
  }))

/**
 * Runs `each` for every repository that the rules name and that has a tag, by name. Returns false if `mayContinue` ended it
 * before all were judged.
 */
export const forEachRepository = Effect.fnUntraced(function* <E, R>(
  rules: RetentionRules,
  options: JudgeOptions,
  each: (judged: JudgedRepository) => Effect.Effect<void, E, R>
) {
  const { manifests } = yield* RegistryDatabase
  let after: string | null = null
  for (;;) {
    const names: ReadonlyArray<string> =
      options.only === undefined ? yield* manifests.repositories(after, repositoriesAtATime) : [options.only]
    if (!(yield* forEachOf(rules, names, options, each))) return false
    after = names.at(-1) ?? null
    if (names.length < repositoriesAtATime) return true
  }
})

/** Runs `each` for those of the repositories that the rules name and that have a tag, by name, as {@link forEachRepository}. */
export const forEachOf = <E, R>(
  rules: RetentionRules,
  repositories: ReadonlyArray<string>,
  options: JudgeOptions,
  each: (judged: JudgedRepository) => Effect.Effect<void, E, R>
) => {
  const named = repositories.filter((name) => rulesFor(rules, name) !== null)
  return tagsOf(named, options, (tags) => Effect.flatMap(judge(rules, tags, options), each))
}

/** Runs `each` for the tags of each of the repositories that has any. */
const tagsOf = Effect.fnUntraced(function* <E, R>(
  repositories: ReadonlyArray<string>,
  { mayContinue }: JudgeOptions,
  each: (tags: ReadonlyArray<TagUse>) => Effect.Effect<void, E, R>
) {
  const { retention } = yield* RegistryDatabase
  let own: Array<TagUse> = []
  let after: TagUse | null = null
  for (let isLast = repositories.length === 0; !isLast; ) {
    if (!(yield* mayContinue)) return false
    const page: ReadonlyArray<TagUse> = yield* retention.tags(repositories, after, tagsAtATime)
    for (const tag of page) {
      if (own.length > 0 && own[0]?.repository !== tag.repository) {
        yield* each(own)
        own = []
      }
      own.push(tag)
    }
    after = page.at(-1) ?? null
    isLast = page.length < tagsAtATime
  }
  if (own.length > 0) yield* each(own)
  return true
})

/** Judges the tags of one repository. */
const judge = Effect.fnUntraced(function* (
  all: RetentionRules,
  found: ReadonlyArray<TagUse>,
  { latest, now, pullsSince }: JudgeOptions
) {
  const repository = found[0]?.repository ?? ""
  const rules = rulesFor(all, repository) ?? []
  const isUndated = ({ pushedAt }: TagUse) => pushedAt === null || pushedAt > latest
  const tags = found.map(
    (tag): DatedTag => ({ ...tag, pushedAt: isUndated(tag) ? now : (tag.pushedAt ?? now) })
  )
  const decisions = decide(rules, tags, { now, pullsSince })
  const listed = yield* listedOf(repository, decisions)
  const judged: JudgedRepository = {
    repository,
    rules,
    tags,
    decisions: keepListed(decisions, listed),
    indexes: new Set(listed.map(({ index }) => index)),
    undated: found.filter(isUndated)
  }
  return judged
})

/** Returns the indexes that list manifests of tags which no rule keeps by itself. */
const listedOf: (
  repository: string,
  decisions: ReadonlyArray<Decision>
) => Effect.Effect<ReadonlyArray<ListedManifest>, DatabaseError, RegistryDatabase> = Effect.fnUntraced(
  function* (repository, decisions) {
    const { retention } = yield* RegistryDatabase
    const digests = [...new Set(decisions.flatMap(({ keptBy, tag }) => (keptBy === null ? tag.digest : [])))]
    const pages = Array.from({ length: Math.ceil(digests.length / digestsAtATime) }, (_, n) =>
      digests.slice(n * digestsAtATime, (n + 1) * digestsAtATime)
    )
    const listed = yield* Effect.forEach(pages, (page) => retention.listed(repository, page))
    return listed.flat()
  }
)
