/** Reads and judges the tags of repositories, one repository after the other. */
import { Clock, Duration, Effect } from "effect"
import type { Digest } from "../../domain/Digest.ts"
import type { SweepSettings } from "../../sweep/Settings.ts"
import { type ListedManifest, RegistryDatabase, type TagUse } from "../database/RegistryDatabase.ts"
import { type DatedTag, type DecideAt, type Decision, decide, keepListed } from "./Decide.ts"
import { type KeepRule, type RetentionRules, rulesFor } from "./RetentionRules.ts"

/** How many names of repositories, and rows of tags, one statement reads. */
export const repositoriesAtATime = 1000
const tagsAtATime = 10_000

/** Manifests that one statement looks for in indexes. */
const manifestsAtATime = 1000

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
  return tagsOf(named, options, (tags) =>
    Effect.flatMap(judge(rules, tags, options), (judged) => Effect.forEach(judged, each, { discard: true }))
  )
}

/** Runs `each` for the tags of repositories that have any, a page of repositories at a time. */
const tagsOf = Effect.fnUntraced(function* <E, R>(
  repositories: ReadonlyArray<string>,
  { mayContinue }: JudgeOptions,
  each: (tags: ReadonlyArray<ReadonlyArray<TagUse>>) => Effect.Effect<void, E, R>
) {
  const { retention } = yield* RegistryDatabase
  let own: Array<TagUse> = []
  let read: Array<ReadonlyArray<TagUse>> = []
  let after: TagUse | null = null
  for (let isLast = repositories.length === 0; !isLast; ) {
    if (!(yield* mayContinue)) return false
    const page: ReadonlyArray<TagUse> = yield* retention.tags(repositories, after, tagsAtATime)
    for (const tag of page) {
      if (own.length > 0 && own[0]?.repository !== tag.repository) {
        read.push(own)
        own = []
      }
      own.push(tag)
    }
    after = page.at(-1) ?? null
    isLast = page.length < tagsAtATime
    if (isLast && own.length > 0) read.push(own)
    if (read.length > 0) yield* each(read)
    read = []
  }
  return true
})

/** Judges the tags of some repositories. */
const judge = Effect.fnUntraced(function* (
  all: RetentionRules,
  repositories: ReadonlyArray<ReadonlyArray<TagUse>>,
  { latest, now, pullsSince }: JudgeOptions
) {
  const isUndated = ({ pushedAt }: TagUse) => pushedAt === null || pushedAt > latest
  const decided = repositories.map((found) => {
    const repository = found[0]?.repository ?? ""
    const rules = rulesFor(all, repository) ?? []
    const tags = found.map(
      (tag): DatedTag => ({ ...tag, pushedAt: isUndated(tag) ? now : (tag.pushedAt ?? now) })
    )
    const decisions = decide(rules, tags, { now, pullsSince })
    return { repository, rules, tags, decisions, undated: found.filter(isUndated) }
  })
  const listed = yield* listedOf(decided.flatMap(({ decisions }) => decisions))
  return decided.map((one): JudgedRepository => {
    const own = listed.get(one.repository) ?? []
    const decisions = keepListed(one.decisions, own)
    return { ...one, decisions, indexes: new Set(own.map(({ index }) => index)) }
  })
})

/** Returns the indexes that list manifests of tags which no rule keeps by itself, by repository. */
const listedOf = Effect.fnUntraced(function* (decisions: ReadonlyArray<Decision>) {
  const { retention } = yield* RegistryDatabase
  const removed = decisions.flatMap(({ keptBy, tag }) => (keptBy === null ? [tag] : []))
  const found = new Map<string, Array<ListedManifest>>()
  for (let n = 0; n < removed.length; n += manifestsAtATime)
    for (const one of yield* retention.listed(removed.slice(n, n + manifestsAtATime))) {
      const own = found.get(one.repository)
      if (own === undefined) found.set(one.repository, [one])
      else own.push(one)
    }
  return found
})
