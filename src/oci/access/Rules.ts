/**
 * Which user may do what with which repositories, as a file of rules says.
 *
 * A line is `who rights repositories…`, and lines only add rights: what no line allows is refused.
 *
 * ```
 * # who       rights            repositories
 * anonymous   pull              public/**
 * *           pull              **
 * ci          pull,push         team/*
 * ann         all               **
 * ```
 *
 * `anonymous` is a client without credentials, `*` any user who has logged in. Users also have the rights of both.
 */
import { Result } from "effect"

/** What a client may do in a repository. `push` includes everything that a push needs but reading. */
export type Right = "pull" | "push" | "delete"

/** Decides what a user may do. `user` is null for a client without credentials. */
export interface Rules {
  /** Returns whether the user has the right in a repository. */
  readonly allow: (user: string | null, right: Right, repository: string) => boolean
  /** Returns whether the user has the right in every repository, also in those that do not exist yet. */
  readonly allowEverywhere: (user: string | null, right: Right) => boolean
  /** Whether clients without credentials have any right. */
  readonly hasAnonymous: boolean
}

const rights: ReadonlyArray<Right> = ["pull", "push", "delete"]

const isRight = (text: string): text is Right => rights.some((right) => right === text)

/** Gives every user all rights, and clients without credentials those of `anonymous`. */
export const everyUser = (anonymous: "none" | "pull" | "all"): Rules => {
  const allowEverywhere = (user: string | null, right: Right) =>
    user !== null || anonymous === "all" || (anonymous === "pull" && right === "pull")
  return { allow: allowEverywhere, allowEverywhere, hasAnonymous: anonymous !== "none" }
}

interface Rule {
  readonly who: string
  readonly rights: ReadonlySet<Right>
  readonly repositories: ReadonlyArray<string>
  readonly matches: (repository: string) => boolean
}

/** Reads a file of rules. Fails with each line that is none: its number, and what to write. */
export const parse = (text: string): Result.Result<Rules, ReadonlyArray<string>> => {
  const problems: Array<string> = []
  const rules = text.split(/\r?\n/).flatMap((line, index): ReadonlyArray<Rule> => {
    const words = line.replace(/(^|\s)#.*$/, "").match(/\S+/g)
    if (words === null) return []
    const rule = ruleOf(words)
    if (typeof rule !== "string") return [rule]
    problems.push(`line ${index + 1}: ${rule}`)
    return []
  })
  return problems.length > 0 ? Result.fail(problems) : Result.succeed(rulesOf(rules))
}

/** Returns the rule, or what is wrong with it. */
const ruleOf = ([who = "", given = "", ...repositories]: ReadonlyArray<string>): Rule | string => {
  if (repositories.length === 0)
    return "a rule is a user, rights and repositories, separated by blanks, as in: ci pull,push team/*"
  const named = given === "all" ? rights : given.split(",")
  const wrong = named.find((right) => !isRight(right))
  if (wrong !== undefined) return `no right is named "${wrong}"; write pull, push, delete or all`
  if (who === "anonymous" && (named.length > 1 || named[0] !== "pull"))
    return "clients without credentials may pull, and nothing else; write: anonymous pull …"
  const pattern = repositories.find((one) => !isPattern(one))
  if (pattern !== undefined)
    return `"${pattern}" is no pattern of repositories; write a name, in which * is a part between slashes and ** is any number of them`
  const patterns = repositories.map(expressionOf)
  return {
    who,
    rights: new Set(named.filter(isRight)),
    repositories,
    matches: (repository) => patterns.some((expression) => expression.test(repository))
  }
}

const rulesOf = (rules: ReadonlyArray<Rule>): Rules => {
  const concerns = (user: string | null, who: string) =>
    who === "anonymous" || (user !== null && (who === "*" || who === user))
  const has = (user: string | null, right: Right, applies: (rule: Rule) => boolean) =>
    rules.some((rule) => concerns(user, rule.who) && rule.rights.has(right) && applies(rule))
  return {
    allow: (user, right, repository) => has(user, right, (rule) => rule.matches(repository)),
    allowEverywhere: (user, right) => has(user, right, (rule) => rule.repositories.includes("**")),
    hasAnonymous: rules.some(({ who }) => who === "anonymous")
  }
}

/**
 * Returns whether the text is a pattern of repositories. Capital letters are in no name of a repository, so a pattern with
 * them would silently match nothing.
 */
export const isPattern = (text: string): boolean =>
  text.length <= 255 && text.split("/").every((part) => part === "**" || /^[a-z0-9._*-]+$/.test(part))

/** Returns what a pattern matches: `team/**` everything below `team`, and `**` everything. */
export const expressionOf = (pattern: string): RegExp => {
  const parts = pattern
    .split("/")
    .map((part) => (part === "**" ? ".+" : part.replaceAll(/[.-]/g, "\\$&").replaceAll("*", "[^/]*")))
  return new RegExp(`^${parts.join("/")}$`)
}
