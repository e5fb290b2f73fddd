/** The store on files, beyond the contract. files/KeyPath.test.ts tests paths. */
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Option, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Files from "../../src/storage/Files.ts"
import { fromFileSystem, keyReason } from "../../src/storage/files/Failure.ts"
import { type DeleteFailureReason, Storage } from "../../src/storage/Storage.ts"
import {
  fresh,
  inTemporary,
  io,
  key,
  keysOf,
  one,
  opened,
  temporary
} from "../fixtures/storage/Directories.ts"
import { storageContract } from "./Storage.contract.ts"

storageContract("files", inTemporary(false))

describe("time", () => {
  it.effect("objects are dated by the Clock", () =>
    Effect.gen(function* () {
      const { storage } = yield* fresh
      for (const at of [0, 1, 1_700_000_000_123, 1_899_999_999_999]) {
        yield* TestClock.setTime(at)
        yield* storage.put(key("a"), one, 1)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(Option.getOrThrow(yield* storage.head(key("a"))).modifiedAt, at)
        assert.strictEqual((yield* Stream.runCollect(storage.list(""))).flat()[0]?.modifiedAt, at)
      }
    })
  )

  it.effect("copies are dated by the Clock and not by their source", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* fresh
      yield* TestClock.setTime(1_700_000_000_123)
      yield* storage.put(key("a"), one, 1)
      yield* TestClock.adjust("1 hour")
      yield* storage.copy(key("a"), key("b/c"))
      const at = (k: string) => Effect.map(storage.head(key(k)), (head) => Option.getOrThrow(head).modifiedAt)
      assert.deepStrictEqual([yield* at("a"), yield* at("b/c")], [1_700_000_000_123, 1_700_003_600_123])
      assert.deepStrictEqual(yield* io(() => readdir(join(directory, ".incoming"))), [])
    })
  )

  it.effect("the unfinished file of a crashed upload is deleted after a day", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const now = 1_700_000_000_000
      yield* TestClock.setTime(now)
      yield* io(() => mkdir(join(directory, ".incoming")))
      const age = Duration.toMillis(Files.unfinishedAge)
      const left = { old: now - age - 1000, young: now - age + 1000, future: now + 1000 }
      for (const [name, at] of Object.entries(left)) {
        const path = join(directory, ".incoming", name)
        yield* io(() => writeFile(path, "x"))
        yield* io(() => utimes(path, at / 1000, at / 1000))
      }
      yield* opened({ directory })
      assert.sameMembers(yield* io(() => readdir(join(directory, ".incoming"))), ["young", "future"])
    })
  )
})

describe("the directory", () => {
  it.effect("contains nothing of puts that failed", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* fresh
      yield* Effect.exit(storage.put(key("a/b"), one, 2))
      yield* Effect.exit(storage.put(key("a/b"), Stream.concat(one, Stream.fail("broken")), 2))
      yield* Effect.exit(storage.put(key("a/b"), Stream.concat(one, Stream.die("broken")), 2))
      assert.deepStrictEqual(yield* io(() => readdir(directory, { recursive: true })), [".incoming"])
    })
  )

  it.effect("may contain files of other programs, which are neither listed nor touched", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* fresh
      yield* storage.put(key("a"), one, 1)
      const foreign = ["lost+found", "a b", ".DS_Store", "%2fetc", "%00", "%FF", "%"]
      for (const name of foreign) yield* io(() => writeFile(join(directory, name), "foreign"))
      yield* io(() => symlink("/nowhere", join(directory, "dangling")))
      assert.deepStrictEqual(yield* keysOf(storage), ["a"])
      yield* storage.delete([key("a"), key("dangling-not")])
      for (const name of foreign) {
        assert.strictEqual(yield* io(() => readFile(join(directory, name), "utf8")), "foreign")
      }
    })
  )

  it.effect("reports the keys that it cannot delete, with the reason, and deletes the others", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* fresh
      yield* storage.put(key("a"), one, 1)
      yield* storage.put(key("c"), one, 1)
      yield* io(() => mkdir(join(directory, "b")))
      const { deleted, failed } = yield* storage.delete([key("a"), key("b"), key("c")])
      assert.deepStrictEqual(deleted, [key("a"), key("c")])
      assert.deepStrictEqual(
        failed.map(({ code, key, reason }): [string, string, string] => [key, code, reason]),
        [process.platform === "linux" ? ["b", "EISDIR", "rejected"] : ["b", "EPERM", "denied"]]
      )
      // A directory with the name of a file is not an object.
      assert.deepStrictEqual(yield* keysOf(storage), [])
      assert.isTrue(Option.isNone(yield* storage.head(key("b"))))
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(storage.get(key("b"))))).reason, "NotFound")
      assert.strictEqual((yield* Effect.flip(storage.put(key("b"), one, 1))).reason, "Rejected")
    })
  )

  it.effect("of 2,500 empty directories lets its caller stop in between", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* fresh
      for (let n = 0; n < 2500; n++) {
        yield* io(() => mkdir(join(directory, `d${String(n).padStart(4, "0")}`)))
      }
      yield* storage.put(key("z"), one, 1)
      const pages = yield* Stream.runCollect(storage.list(""))
      assert.deepStrictEqual(
        pages.map((page) => page.map((object): string => object.key)),
        [[], [], ["z"]]
      )
      assert.lengthOf(yield* Stream.runCollect(Stream.take(storage.list(""), 1)), 1)
    })
  )

  it.effect("is not an empty store when it is missing", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* fresh
      yield* storage.put(key("a"), one, 1)
      yield* io(() => rm(directory, { recursive: true }))
      const failures = {
        probe: yield* Effect.flip(storage.probe),
        list: yield* Effect.flip(Stream.runDrain(storage.list(""))),
        delete: yield* Effect.flip(storage.delete([key("a")])),
        head: yield* Effect.flip(storage.head(key("a"))),
        get: yield* Effect.flip(Stream.runDrain(storage.get(key("a")))),
        put: yield* Effect.flip(storage.put(key("a"), one, 1)),
        copy: yield* Effect.flip(storage.copy(key("a"), key("b")))
      }
      for (const [operation, error] of Object.entries(failures)) {
        assert.deepStrictEqual([error.operation, error.reason], [operation, "NotFound"])
      }
    })
  )

  it.effect("must be a directory", () =>
    Effect.gen(function* () {
      const outer = yield* temporary
      const file = join(outer, "file")
      yield* io(() => writeFile(file, "x"))
      for (const directory of [file, join(file, "below")]) {
        const error = yield* Effect.flip(opened({ directory }))
        assert.deepInclude(error, { operation: "probe", subject: directory, reason: "Rejected" })
      }
    })
  )

  it("translates errors of the file system into reasons", () => {
    const reason = (code: string) =>
      fromFileSystem("put", "a", Object.assign(new Error(`${code}: because`), { code })).reason
    assert.deepStrictEqual(
      [
        "EACCES",
        "EPERM",
        "EROFS",
        "ENOENT",
        "ENOSPC",
        "EIO",
        "EMFILE",
        "ENAMETOOLONG",
        "ENOTDIR",
        "EWEIRD"
      ].map(reason),
      [
        ...[
          "AccessDenied",
          "AccessDenied",
          "AccessDenied",
          "NotFound",
          "Unavailable",
          "Unavailable",
          "Unavailable"
        ],
        ...["Rejected", "Rejected", "Unknown"]
      ]
    )
  })
})

describe("a key that cannot be deleted", () => {
  it("has a reason by the error of the file system", () => {
    const table: Record<string, DeleteFailureReason> = {
      EACCES: "denied",
      EPERM: "denied",
      EROFS: "denied",
      EMFILE: "unavailable",
      ESTALE: "unavailable",
      ETIMEDOUT: "unavailable",
      EBUSY: "internal",
      EIO: "internal",
      EISDIR: "rejected",
      ENAMETOOLONG: "rejected",
      EWEIRD: "unknown"
    }
    const codes = Object.keys(table)
    assert.deepStrictEqual(Object.fromEntries(codes.map((code) => [code, keyReason(code)])), table)
  })
})

it.live(
  "durable puts and deletes race in the same directories and lose nothing",
  () =>
    Effect.gen(function* () {
      const storage = yield* Storage
      const worker = Effect.fnUntraced(function* (i: number) {
        for (let round = 0; round < 5; round++) {
          yield* storage.put(key(`d/e/${i}`), one, 1)
          yield* storage.delete([key(`d/e/${i}`)])
        }
        yield* storage.put(key(`d/f/${i}`), one, 1)
      })
      yield* Effect.forEach(
        Array.from({ length: 12 }, (_, i) => i),
        worker,
        { concurrency: "unbounded" }
      )
      assert.strictEqual((yield* keysOf(storage)).length, 12)
      const now = yield* Clock.currentTimeMillis
      assert.isAtMost(Option.getOrThrow(yield* storage.head(key("d/f/0"))).modifiedAt, now)
    }).pipe(Effect.provide(inTemporary(true))),
  20_000
)
