/**
 * Retention rules: which tags of a repository are kept, as a file of JSON says.
 *
 * ```json
 * {
 *   "policies": [
 *     { "repositories": ["ci/**"], "keep": [{ "newest": 10 }, { "pushedWithin": "7 days" }, { "tags": ["v*", "latest"] }] }
 *   ]
 * }
 * ```
 *
 * Rules only keep. A tag is removed if a policy names its repository and no rule of any such policy keeps the tag. So the order
 * of policies and rules means nothing, and a further rule never removes a tag.
 */
import { Context, Duration, Effect, Option, Result } from "effect"
import { closestTo } from "../../domain/closest.ts"
import { spelledOut } from "../../domain/shortDuration.ts"
import { expressionOf, isPattern } from "../access/Rules.ts"

/**
 * Keeps tags. `tags` chooses those that the rule is about, by default all. The other three keep a part of these; at most one is
 * given, and without them the rule keeps all that it is about.
 */
export interface KeepRule {
  /** Patterns of tags, in which `*` is any text. */
  readonly tags?: ReadonlyArray<string>
  /** Keeps so many, those that were pushed last. Tags of the same instant are kept together. */
  readonly newest?: number
  /** Keeps those that were pushed within this time. */
  readonly pushedWithin?: Duration.Duration
  /** Keeps those that were pushed or pulled within this time. */
  readonly pulledWithin?: Duration.Duration
}

/** What is kept in some repositories. */
export interface RetentionPolicy {
  /** Patterns of repositories, as in the file of access rules. */
  readonly repositories: ReadonlyArray<string>
  /** At least one rule. */
  readonly keep: ReadonlyArray<KeepRule>
}

/** All policies. */
export interface RetentionRules {
  readonly policies: ReadonlyArray<RetentionPolicy>
}

/** The rules in force; null without any. Read once a sweep. Default: none, and no tag is removed. */
export class Retention extends Context.Reference<Effect.Effect<RetentionRules | null>>(
  "artifact-gc/oci/retention/Retention",
  { defaultValue: () => Effect.succeed(null) }
) {}

/** Reads a file of rules. Fails with each problem, and where it is. */
export const parse = (text: string): Result.Result<RetentionRules, ReadonlyArray<string>> => {
  const problems: Array<string> = []
  const rules = rulesIn(text, problems)
  return rules === null || problems.length > 0 ? Result.fail(problems) : Result.succeed(rules)
}

/** Returns the rules as text. Rules that mean the same in the same order have the same text. */
export const canonical = ({ policies }: RetentionRules): string =>
  JSON.stringify({
    policies: policies.map(({ keep, repositories }) => ({
      repositories,
      keep: keep.map(({ newest, pulledWithin, pushedWithin, tags }) => ({
        ...(tags === undefined ? {} : { tags }),
        ...(newest === undefined ? {} : { newest }),
        ...(pushedWithin === undefined ? {} : { pushedWithin: `${Duration.toMillis(pushedWithin)} millis` }),
        ...(pulledWithin === undefined ? {} : { pulledWithin: `${Duration.toMillis(pulledWithin)} millis` })
      }))
    }))
  })

/** Says in words what a rule keeps. */
export const describe = ({ newest, pulledWithin, pushedWithin, tags }: KeepRule): string => {
  const ofTags = tags === undefined ? "" : `, tags ${tags.join(" ")}`
  if (newest !== undefined) return `newest ${newest}${ofTags}`
  if (pushedWithin !== undefined) return `pushed within ${Duration.format(pushedWithin)}${ofTags}`
  if (pulledWithin !== undefined) return `pulled within ${Duration.format(pulledWithin)}${ofTags}`
  return ofTags.slice(2)
}

/** Returns the keep rules of all policies that name the repository; null if none does. */
export const rulesFor = (
  { policies }: RetentionRules,
  repository: string
): ReadonlyArray<KeepRule> | null => {
  const matching = policies.filter(({ repositories }) =>
    expressionsOf(repositories, expressionOf).some((expression) => expression.test(repository))
  )
  return matching.length === 0 ? null : matching.flatMap(({ keep }) => keep)
}

/** Returns whether a tag has one of the patterns. */
export const matchesTag = (patterns: ReadonlyArray<string>, tag: string): boolean =>
  expressionsOf(patterns, tagExpressionOf).some((expression) => expression.test(tag))

const tagExpressionOf = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replaceAll(/[.]/g, "\\.").replaceAll("*", ".*")}$`)

/** Expressions of patterns: a sweep tries each of them for thousands of names. */
const compiled = new WeakMap<ReadonlyArray<string>, ReadonlyArray<RegExp>>()

const expressionsOf = (
  patterns: ReadonlyArray<string>,
  compile: (pattern: string) => RegExp
): ReadonlyArray<RegExp> => {
  const known = compiled.get(patterns)
  if (known !== undefined) return known
  const made = patterns.map(compile)
  compiled.set(patterns, made)
  return made
}

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const rulesIn = (text: string, problems: Array<string>): RetentionRules | null => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    problems.push(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
  if (!isObject(json) || !Array.isArray(json.policies)) {
    problems.push('write an object with a list "policies"')
    return null
  }
  noOther(json, ["policies"], "", problems)
  return { policies: json.policies.map((policy, n) => policyIn(policy, `policies[${n}]`, problems)) }
}

/** Adds a problem for each member that has no meaning: a rule that is misspelled must not be a rule that keeps nothing. */
const noOther = (json: Json, known: ReadonlyArray<string>, path: string, problems: Array<string>): void => {
  for (const name of Object.keys(json)) {
    if (known.includes(name)) continue
    const meant = closestTo(name, known)
    problems.push(
      `${path === "" ? name : `${path}.${name}`}: no such member; ${meant === null ? `known are ${known.join(", ")}` : `did you mean ${meant}?`}`
    )
  }
}

const policyIn = (json: unknown, path: string, problems: Array<string>): RetentionPolicy => {
  if (!isObject(json)) {
    problems.push(`${path}: write an object with "repositories" and "keep"`)
    return { repositories: [], keep: [] }
  }
  noOther(json, ["repositories", "keep"], path, problems)
  const repositories = textsIn(
    json.repositories,
    `${path}.repositories`,
    isPattern,
    "a pattern of repositories: a name, in which * is a part between slashes and ** is any number of them",
    problems
  )
  const { keep } = json
  if (!Array.isArray(keep) || keep.length === 0) {
    problems.push(
      `${path}.keep: write a list of at least one rule; without one every tag would be removed. To keep all, leave the policy out`
    )
    return { repositories, keep: [] }
  }
  return { repositories, keep: keep.map((rule, n) => ruleIn(rule, `${path}.keep[${n}]`, problems)) }
}

const ruleMembers = ["tags", "newest", "pushedWithin", "pulledWithin"]

const ruleIn = (json: unknown, path: string, problems: Array<string>): KeepRule => {
  if (!isObject(json) || Object.keys(json).length === 0) {
    problems.push(`${path}: write an object with at least one of ${ruleMembers.join(", ")}`)
    return {}
  }
  noOther(json, ruleMembers, path, problems)
  const given = ruleMembers.slice(1).filter((name) => name in json)
  if (given.length > 1)
    problems.push(`${path}: has ${given.join(" and ")}; write a rule for each, and each keeps its tags`)
  return {
    ...("tags" in json
      ? {
          tags: textsIn(
            json.tags,
            `${path}.tags`,
            isTagPattern,
            "a pattern of tags: letters, digits, and _ . - *",
            problems
          )
        }
      : {}),
    ...("newest" in json ? { newest: numberIn(json.newest, `${path}.newest`, problems) } : {}),
    ...("pushedWithin" in json
      ? { pushedWithin: timeIn(json.pushedWithin, `${path}.pushedWithin`, problems) }
      : {}),
    ...("pulledWithin" in json
      ? { pulledWithin: timeIn(json.pulledWithin, `${path}.pulledWithin`, problems) }
      : {})
  }
}

const isTagPattern = (text: string): boolean => /^[A-Za-z0-9_.*-]{1,128}$/.test(text)

const textsIn = (
  json: unknown,
  path: string,
  isFit: (text: string) => boolean,
  form: string,
  problems: Array<string>
): ReadonlyArray<string> => {
  if (!Array.isArray(json) || json.length === 0) {
    problems.push(`${path}: write a list of at least one pattern`)
    return []
  }
  for (const text of json)
    if (typeof text !== "string" || !isFit(text))
      problems.push(`${path}: ${JSON.stringify(text)} is not ${form}`)
  return json.map(String)
}

const numberIn = (json: unknown, path: string, problems: Array<string>): number => {
  if (Number.isSafeInteger(json) && Number(json) >= 1) return Number(json)
  problems.push(`${path}: write a whole number of at least 1`)
  return 1
}

const timeIn = (json: unknown, path: string, problems: Array<string>): Duration.Duration => {
  const time =
    typeof json === "string" ? Duration.fromInput(spelledOut(json) as Duration.Input) : Option.none()
  if (Option.isSome(time) && Duration.isFinite(time.value) && Duration.toMillis(time.value) >= 60_000)
    return time.value
  problems.push(`${path}: write a time of at least a minute with its unit, such as "30 days"`)
  return Duration.zero
}
