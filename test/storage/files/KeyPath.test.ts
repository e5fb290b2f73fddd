/** The paths of keys: inside the directory, one for each key, in order. */
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema, Stream } from "effect"
import type { ObjectKey } from "../../../src/domain/ObjectKey.ts"
import { filePath, parseName, toBytes } from "../../../src/storage/files/KeyPath.ts"
import { compareKeys } from "../../../src/storage/KeyOrder.ts"
import * as Memory from "../../../src/storage/Memory.ts"
import { Storage } from "../../../src/storage/Storage.ts"
import { fresh, io, key, keysOf, one, opened, temporary } from "../../fixtures/storage/Directories.ts"

describe("paths", () => {
  it.effect("stay inside the directory, whatever the key", () =>
    Effect.gen(function* () {
      const outer = yield* temporary
      const directory = join(outer, "a", "b", "store")
      const storage = yield* opened({ directory, durable: false })
      const attempts = [
        ...[
          "..",
          "../x",
          "../../x",
          "../../../x",
          "a/../../../x",
          "a/..",
          "./../x",
          "/x",
          "//x",
          "/../x",
          "~/x"
        ],
        ...[
          "..\\x",
          "%2e%2e/x",
          ".incoming/x",
          ".incoming",
          "../.incoming/x",
          "/etc/passwd",
          "....//x",
          "..\u0001/x"
        ]
      ].map(key)
      for (const attempt of attempts) {
        yield* storage.put(attempt, Stream.make(Buffer.from(attempt)), Buffer.byteLength(attempt))
      }
      assert.sameMembers(yield* keysOf(storage), attempts)
      for (const attempt of attempts) {
        const content = Buffer.concat(yield* Stream.runCollect(storage.get(attempt))).toString()
        assert.strictEqual(content, attempt)
      }
      yield* storage.delete(attempts)
      // The store wrote nothing outside, and nothing remains inside.
      const everything = yield* io(() => readdir(outer, { recursive: true }))
      assert.sameMembers(everything, ["a", "a/b", "a/b/store", "a/b/store/.incoming"])
    })
  )

  it.effect("respect the limits of file systems for the longest keys", () =>
    Effect.gen(function* () {
      const { storage } = yield* fresh
      const keys = [
        "/".repeat(1024),
        "\u0001".repeat(1024),
        "\u0001/".repeat(512),
        "a".repeat(1024),
        "a/".repeat(512)
      ]
      for (const longest of keys.map(key)) {
        assert.isTrue(filePath(toBytes(longest)).length < 3200)
        assert.isTrue(
          filePath(toBytes(longest))
            .split("/")
            .every((name) => name.length <= 255)
        )
        yield* storage.put(longest, one, 1)
        assert.deepStrictEqual(yield* keysOf(storage, longest.slice(0, 500)), [longest])
        yield* storage.delete([longest])
        assert.deepStrictEqual(yield* keysOf(storage), [])
      }
    })
  )

  it("have one key each", () => {
    for (const name of ["a", "%2Eb", "%C3%A9", "a+", "+", `${"a".repeat(84)}~`]) {
      assert.isDefined(parseName(name), name)
    }
    const foreign = [
      ".a",
      ".incoming",
      "a b",
      "é",
      "%2e",
      "%41",
      "a%",
      "a%4",
      "%%",
      "a~",
      "~",
      "lost+found",
      "a+b"
    ]
    for (const name of [...foreign, "a".repeat(84), `${"a".repeat(85)}~`, `${"a".repeat(84)}+`]) {
      assert.isUndefined(parseName(name), name)
    }
  })

  it.effect("refuse a key that has no UTF-8, without touching another key", () =>
    Effect.gen(function* () {
      const { storage } = yield* fresh
      // The schema refuses such a key, but an unchecked one is possible.
      const [broken, other] = ["a\ud800" as ObjectKey, key("a\ufffd")]
      yield* storage.put(other, one, 1)
      assert.strictEqual((yield* Effect.flip(storage.put(broken, one, 1))).reason, "Rejected")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(storage.get(broken)))).reason, "Rejected")
      const { deleted, failed } = yield* storage.delete([broken])
      assert.deepStrictEqual([deleted.length, failed[0]?.code], [0, "EINVAL"])
      assert.deepStrictEqual(yield* keysOf(storage), [other])
    })
  )
})

const pieces = Schema.Literals([
  "a",
  ".",
  "%",
  "+",
  "~",
  "!",
  "0",
  "/",
  " ",
  "\u{1d11e}",
  "\ue000",
  "é",
  "//",
  "..",
  "a".repeat(83),
  "a".repeat(84)
])
const text = Schema.Array(pieces)

/** Returns the first characters, without splitting one. */
const start = (text: string, characters: number) => [...text].slice(0, characters).join("")

it.effect.prop(
  "files list what memory lists, in the same order, for any keys, prefix and start",
  { texts: Schema.Array(text), prefix: text, after: text },
  ({ after, prefix, texts }) =>
    Effect.gen(function* () {
      const { directory, storage } = yield* fresh
      const twin = Context.get(yield* Layer.build(Memory.layer), Storage)
      const keys = [...new Set(texts.map((parts) => start(parts.join(""), 300)))].filter(
        (text) => text.length > 0
      )
      for (const text of keys) {
        yield* storage.put(key(text), one, 1)
        yield* twin.put(key(text), one, 1)
      }
      const all = yield* keysOf(storage)
      assert.deepStrictEqual(all, yield* keysOf(twin))
      assert.deepStrictEqual(
        all,
        keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      )
      const arguments_ = [
        [prefix.join(""), undefined],
        ["", after.join("")],
        [start(prefix.join(""), 1), after.join("")],
        [start(keys[0] ?? "", 3), keys[1]]
      ] as const
      for (const [prefix, after] of arguments_) {
        assert.deepStrictEqual(yield* keysOf(storage, prefix, after), yield* keysOf(twin, prefix, after))
      }
      yield* storage.delete(keys.map(key))
      assert.deepStrictEqual(yield* io(() => readdir(directory)), [".incoming"])
    }),
  { timeout: 20_000, arbitrary: { runs: 60, seed: "files-1" } }
)

it.prop("keys sort like their bytes", { a: text, b: text }, ({ a, b }) => {
  const [x, y] = [a.join(""), b.join("")]
  return Math.sign(compareKeys(x, y)) === Math.sign(Buffer.compare(Buffer.from(x), Buffer.from(y)))
})
