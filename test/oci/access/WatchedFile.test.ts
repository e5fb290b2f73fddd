/** A value that follows its file. */
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { TestClock } from "effect/testing"
import { watch } from "../../../src/oci/access/WatchedFile.ts"

const parse = (text: string): Result.Result<number, ReadonlyArray<string>> =>
  /^\d+$/.test(text.trim()) ? Result.succeed(Number(text)) : Result.fail(["it is no number"])

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "watched-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true }))
)

const write = (path: string, text: string) =>
  Effect.promise(async () => {
    await writeFile(`${path}.new`, text)
    await rename(`${path}.new`, path)
  })

const refused = (path: string) => Effect.flip(Effect.asVoid(watch({ setting: "SETTING", path, parse })))

describe("a watched file", () => {
  it.effect("takes effect a second after it was replaced, and keeps the last good value meanwhile", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "value")
      yield* write(path, "1")
      const value = yield* watch({ setting: "SETTING", path, parse })
      assert.strictEqual(yield* value, 1)
      yield* write(path, "22")
      assert.strictEqual(yield* value, 1)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* value, 22)
      yield* write(path, "wrong")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* value, 22)
      yield* Effect.promise(() => rm(path))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* value, 22)
      yield* write(path, "3")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* value, 3)
    })
  )

  it.effect("is refused at the start with its setting, path and problem", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "value")
      const missing = yield* refused(path)
      assert.match(missing.message, /^SETTING: .*value cannot be used: ENOENT/)
      yield* write(path, "wrong")
      const wrong = yield* refused(path)
      assert.match(wrong.message, /it is no number\. Correct the file\.$/)
    })
  )
})
