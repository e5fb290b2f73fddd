/** Files of users, and how passwords are verified. */

import { assert, describe, it } from "@effect/vitest"
import { hash } from "bcryptjs"
import { Effect, Result } from "effect"
import { make, parse } from "../../../src/oci/access/Passwords.ts"

const cheap = (password: string) =>
  Effect.promise(() => hash(password, 4).then((text) => text.replace("$2b$", "$2y$")))

const problems = (text: string) => {
  const parsed = parse(text)
  return Result.isFailure(parsed) ? parsed.failure : []
}

/** A file of users with these passwords. */
const file = (users: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    for (const [name, password] of Object.entries(users)) lines.push(`${name}:${yield* cheap(password)}`)
    return Result.getOrThrow(parse(`# users\n\n${lines.join("\r\n")}\n`))
  })

describe("a file of users", () => {
  it.effect("admits each with the own password only", () =>
    Effect.gen(function* () {
      const { check } = yield* make
      const users = yield* file({ ann: "one", bob: "pä:ss" })
      // The second time from memory.
      for (const _ of [1, 2]) {
        assert.isTrue(yield* check(users, "ann", "one"))
        assert.isTrue(yield* check(users, "bob", "pä:ss"))
        assert.isFalse(yield* check(users, "ann", "pä:ss"))
        assert.isFalse(yield* check(users, "ann", ""))
        assert.isFalse(yield* check(users, "eve", "one"))
      }
    })
  )

  it.effect("refuses a remembered password at once when it changed or its user is gone", () =>
    Effect.gen(function* () {
      const { check } = yield* make
      assert.isTrue(yield* check(yield* file({ ann: "one" }), "ann", "one"))
      const changed = yield* file({ ann: "two" })
      assert.isFalse(yield* check(changed, "ann", "one"))
      assert.isTrue(yield* check(changed, "ann", "two"))
      assert.isFalse(yield* check(new Map(), "ann", "two"))
    })
  )

  it.effect("puts clients off when too many passwords wait, and admits again afterwards", () =>
    Effect.gen(function* () {
      const { check } = yield* make
      const users = yield* file({ ann: "one" })
      const guesses = Array.from({ length: 200 }, (_, n) => check(users, "ann", `guess ${n}`))
      const answers = yield* Effect.all(guesses, { concurrency: "unbounded" })
      assert.include(answers, "busy")
      assert.notInclude(answers, true)
      assert.isAbove(answers.filter((answer) => answer === false).length, 0)
      assert.isTrue(yield* check(users, "ann", "one"))
    })
  )

  it.effect("is refused with the number of each wrong line, and repeats no hash", () =>
    Effect.gen(function* () {
      const good = yield* cheap("x")
      const text = `ann:${good}\nann:${good}\nbob:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\nno colon\nanonymous:${good}\neve:${good.replace("$04$", "$31$")}`
      const found = problems(text)
      assert.deepStrictEqual(
        found.map((problem) => problem.slice(0, 7)),
        ["line 2:", "line 3:", "line 4:", "line 5:", "line 6:"]
      )
      assert.match(found[1] ?? "", /htpasswd -B/)
      assert.notMatch(found.join(), /\$2y|qUqP5/)
    })
  )
})
