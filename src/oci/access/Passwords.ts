/**
 * Users and their passwords, from a file as `htpasswd -B` writes it: `name:$2y$…`, one user a line.
 *
 * Invariant: the time of an answer tells neither whether a user exists nor how much of a password was right. A right password
 * is remembered as a keyed hash, because clients send it with each request and bcrypt takes a tenth of a second.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { Effect, Result } from "effect"
import { verify } from "./BcryptWorker.ts"

/** Users by name, with the bcrypt hash of their password. */
export type PasswordFile = ReadonlyMap<string, string>

/** A cost of 15 takes three seconds; a hash of a higher one would keep a processor for minutes. */
const costMax = 15

/** Reads the file. Fails with each line that is none: its number, and what to write. Never repeats a hash. */
export const parse = (text: string): Result.Result<PasswordFile, ReadonlyArray<string>> => {
  const users = new Map<string, string>()
  const problems: Array<string> = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue
    const [, name = "", hash = ""] = /^([^:]*):([^:]*)/.exec(line.trimEnd()) ?? []
    const problem = problemOf(users, name, hash)
    if (problem === null) users.set(name, hash)
    else problems.push(`line ${index + 1}: ${problem}`)
  }
  return problems.length > 0 ? Result.fail(problems) : Result.succeed(users)
}

const problemOf = (users: PasswordFile, name: string, hash: string): string | null => {
  if (!/^\S+$/.test(name))
    return "a line is a name without blanks, a colon and a hash, as htpasswd -B writes it"
  if (name === "anonymous" || name === "*")
    return `no user can be named ${name}, which has a meaning in the rules`
  if (users.has(name)) return `the user ${name} is named twice`
  if (!/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash))
    return `the password of ${name} is not hashed with bcrypt; write it with: htpasswd -B`
  return Number(hash.slice(4, 6)) > costMax
    ? `the hash of ${name} has a higher cost than ${costMax}, which takes too long; write it with: htpasswd -B -C 12`
    : null
}

/** Verifies passwords. */
export interface Passwords {
  /**
   * Returns whether this is the user's password, or `busy` if too many passwords wait to be verified: nothing is known then,
   * and the client asks again later.
   */
  readonly check: (file: PasswordFile, name: string, password: string) => Effect.Effect<boolean | "busy">
}

/** At a tenth of a second each, the last of these waits less than clients do. */
const waitingMax = 64

/** A user has one password at a time. More names than this are an attack, and then the oldest is forgotten. */
const rememberedMax = 10_000

/** Stands in for the hash of a user who does not exist, so that the answer takes as long: a hash of the same file. */
const decoyOf = (file: PasswordFile): string => {
  const [first] = file.values()
  return first ?? "$2b$10$DECOYDECOYDECOYDECOYD.7jC9o5zq8wM6c3T0f1N2h4K5l6m7n8o"
}

/** Makes the verification. It remembers right passwords until their hash changes. */
export const make: Effect.Effect<Passwords> = Effect.gen(function* () {
  const key = randomBytes(32)
  const remembered = new Map<string, Buffer>()
  const seal = (hash: string, password: string) =>
    createHmac("sha256", key).update(`${hash}:${password}`).digest()
  let waiting = 0
  return {
    check: (file, name, password) =>
      Effect.suspend((): Effect.Effect<boolean | "busy"> => {
        const hash = file.get(name)
        const sealed = seal(hash ?? "", password)
        const known = remembered.get(name)
        if (hash !== undefined && known !== undefined && timingSafeEqual(known, sealed))
          return Effect.succeed(true)
        if (waiting >= waitingMax) return Effect.succeed("busy")
        waiting += 1
        return Effect.promise(() => verify(password, hash ?? decoyOf(file))).pipe(
          Effect.map((isRight) => {
            if (!isRight || hash === undefined) return false
            const [oldest] = remembered.keys()
            if (remembered.size >= rememberedMax && oldest !== undefined) remembered.delete(oldest)
            remembered.set(name, sealed)
            return true
          }),
          Effect.ensuring(
            Effect.sync(() => {
              waiting -= 1
            })
          )
        )
      })
  }
})
