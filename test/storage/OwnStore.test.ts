/** Stores of a host's own: the exported contract on them, and what is refused by name. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Layer, Option, Stream } from "effect"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { StorageError } from "../../src/domain/StorageError.ts"
import * as Storage from "../../src/storage/index.ts"
import { compareKeys } from "../../src/storage/KeyOrder.ts"
import { storageContract } from "./Storage.contract.ts"

interface Entry {
  readonly bytes: Uint8Array
  readonly modifiedAt: number
}

const absent = new Storage.OwnStoreError({ reason: "NotFound", detail: "no such entry" })

const describeEntry = ({ bytes, modifiedAt }: Entry) => ({ sizeBytes: bytes.length, modifiedAt })

/** The least that a store needs: it cannot read ranges, and lists everything. */
const least = (entries = new Map<string, Entry>()): Storage.OwnStore => ({
  description: "a map",
  read: (key) => {
    const entry = entries.get(key)
    return entry === undefined ? Stream.fail(absent) : Stream.make(entry.bytes)
  },
  write: (key, body) =>
    Effect.map(Stream.runCollect(body), (chunks) => {
      entries.set(key, { bytes: Buffer.concat(chunks), modifiedAt: Date.now() })
    }),
  remove: (key) => (entries.delete(key) ? Effect.void : Effect.fail(absent)),
  list: () =>
    Stream.suspend(() =>
      Stream.fromIterable(
        [...entries]
          .sort(([a], [b]) => compareKeys(a, b))
          .map(([key, entry]) => ({ key, ...describeEntry(entry) }))
      )
    ),
  head: (key) =>
    Effect.sync(() => {
      const entry = entries.get(key)
      return entry === undefined ? undefined : describeEntry(entry)
    })
})

/** The same with all optional members. */
const full = (entries = new Map<string, Entry>()): Storage.OwnStore => {
  const own = least(entries)
  return {
    ...own,
    identity: { store: "map", name: "full" },
    readRange: (key, start, end) => Stream.map(own.read(key), (bytes) => bytes.subarray(start, end + 1)),
    list: (prefix, after) =>
      Stream.filter(
        own.list("", undefined),
        ({ key }) => key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0)
      ),
    removeAll: (keys) =>
      Effect.sync(() => {
        for (const key of keys) entries.delete(key)
        return []
      }),
    copy: (from, to) =>
      Effect.suspend(() => {
        const entry = entries.get(from)
        if (entry === undefined) return Effect.fail(absent)
        entries.set(to, { ...entry, modifiedAt: Date.now() })
        return Effect.void
      }),
    probe: Effect.void,
    multiparts: { list: () => Stream.empty, abort: () => Effect.void },
    traits: Effect.succeed({ versioning: "off", objectLock: false, deletes: "objects", chosen: true }),
    skew: Effect.succeed(0)
  }
}

storageContract("a store of its own, with six members", Storage.layerFrom(least()))
storageContract("a store of its own, with all members", Storage.layerFrom(Effect.sync(() => full())))

const [a, b] = [ObjectKey.make("a"), ObjectKey.make("b")]
const bytes = Stream.make(Buffer.from("0123456789"))

/** Returns the store with a member that is wrong. `a` and `b` have ten bytes. */
const wrong = Effect.fnUntraced(function* (
  change: (own: Storage.OwnStore) => Partial<Storage.OwnStore>,
  from: (entries?: Map<string, Entry>) => Storage.OwnStore = least
) {
  const entries = new Map<string, Entry>()
  const own = from(entries)
  for (const key of [a, b]) yield* own.write(key, bytes, 10)
  return Context.get(yield* Layer.build(Storage.layerFrom({ ...own, ...change(own) })), Storage.Storage)
})

const misbehaves = Effect.fnUntraced(function* (
  what: string,
  effect: Effect.Effect<unknown, StorageError | string>
) {
  const error = yield* Effect.flip(effect)
  assert.instanceOf(error, StorageError)
  assert.deepInclude(error, { reason: "Misbehaved" })
  assert.include(error.message, what)
  assert.include(error.message, "StorageContract")
})

const read = (storage: Storage.Storage["Service"], start: number, end?: number) =>
  Effect.map(Stream.runCollect(storage.get(a, { start, end })), (chunks) => Buffer.concat(chunks).toString())

describe("a store of its own is refused by name", () => {
  it.effect("if a listing does not ascend, in the middle of it", () =>
    Effect.gen(function* () {
      const entry = (key: string) => ({ key, sizeBytes: 1, modifiedAt: 1 })
      const keys = ["a", "c", "b"]
      const storage = yield* wrong(() => ({ list: () => Stream.fromIterable(keys.map(entry)) }))
      yield* misbehaves(`list emitted "b" after "c"`, Stream.runDrain(storage.list("")))
      const twice = yield* wrong(() => ({ list: () => Stream.fromIterable(["a", "a"].map(entry)) }))
      yield* misbehaves(`list emitted "a" after "a"`, Stream.runDrain(twice.list("")))
      // UTF-16 would sort these two the other way round.
      const utf16 = yield* wrong(() => ({ list: () => Stream.fromIterable(["𝄞", "\ue000"].map(entry)) }))
      yield* misbehaves("UTF-8", Stream.runDrain(utf16.list("")))
    })
  )

  it.effect("if a size or a time is no number", () =>
    Effect.gen(function* () {
      for (const [info, what] of [
        [{ sizeBytes: -1, modifiedAt: 1 }, "the size -1"],
        [{ sizeBytes: 0.5, modifiedAt: 1 }, "the size 0.5"],
        [{ sizeBytes: 1, modifiedAt: Number.NaN }, "the time NaN"]
      ] as const) {
        const storage = yield* wrong(() => ({
          head: () => Effect.succeed(info),
          list: () => Stream.make({ key: "a", ...info })
        }))
        yield* misbehaves(`head gave ${what}`, storage.head(a))
        yield* misbehaves(`list gave ${what}`, Stream.runDrain(storage.list("")))
      }
    })
  )

  it.effect("if it writes without reading the body to its end", () =>
    Effect.gen(function* () {
      const unread = yield* wrong(() => ({ write: () => Effect.void }))
      yield* misbehaves("write succeeded before the body had ended", unread.put(a, bytes, 10))
      const early = yield* wrong(() => ({
        write: (_, body) => Stream.runDrain(Stream.take(body, 1))
      }))
      const two = Stream.concat(bytes, bytes)
      yield* misbehaves("write succeeded before the body had ended", early.put(a, two, 20))
      yield* misbehaves("write succeeded before the body had ended", early.put(a, two, null))
    })
  )

  it.effect("if it keeps an object although the body failed", () =>
    Effect.gen(function* () {
      const storage = yield* wrong((own) => ({
        write: (key, body, size) =>
          own.write(
            key,
            Stream.catchCause(body, () => Stream.empty),
            size
          )
      }))
      const broken = Stream.concat(bytes, Stream.fail("broken"))
      yield* misbehaves("although the body had failed", storage.put(a, broken, 20))
      yield* misbehaves("although the body had failed", storage.put(a, bytes, 11))
    })
  )

  it.effect("if it runs a body twice", () =>
    Effect.gen(function* () {
      const storage = yield* wrong((own) => ({
        write: (key, body, size) => Effect.andThen(Stream.runDrain(body), own.write(key, body, size))
      }))
      yield* misbehaves("write ran the body twice", storage.put(a, bytes, 10))
    })
  )

  it.effect("if a range has too many bytes or too few", () =>
    Effect.gen(function* () {
      const ignores = yield* wrong((own) => ({ readRange: own.read }))
      yield* misbehaves("readRange emitted more than the 2 bytes", read(ignores, 3, 4))
      const short = yield* wrong(() => ({ readRange: () => Stream.make(new Uint8Array(1)) }))
      yield* misbehaves("readRange emitted fewer than the 2 bytes", read(short, 3, 4))
    })
  )

  it.effect("if a batch answers for a key that it was not asked for", () =>
    Effect.gen(function* () {
      const storage = yield* wrong(() => ({ removeAll: () => Effect.succeed([[b, absentFor("Unknown")]]) }))
      yield* misbehaves("removeAll returned a key that it was not given", storage.delete([a]))
    })
  )
})

const absentFor = (reason: Storage.OwnStoreError["reason"]) =>
  new Storage.OwnStoreError({ reason, detail: "the store's own words" })

describe("a store of its own", () => {
  it.effect("cuts ranges out of chunks of any size, and reads no further", () =>
    Effect.gen(function* () {
      let pulled = 0
      const storage = yield* wrong(() => ({
        read: () =>
          Stream.fromIterable(["01", "", "234", "5", "6789"]).pipe(
            Stream.rechunk(1),
            Stream.map((text) => {
              pulled += 1
              return Buffer.from(text)
            })
          )
      }))
      for (let start = 0; start < 10; start++) {
        for (let end = start; end < 10; end++) {
          assert.strictEqual(yield* read(storage, start, end), "0123456789".slice(start, end + 1))
        }
      }
      pulled = 0
      assert.strictEqual(yield* read(storage, 1, 2), "12")
      assert.strictEqual(pulled, 3)
    })
  )

  it.effect("tells key by key why it was not deleted, in this package's terms", () =>
    Effect.gen(function* () {
      const storage = yield* wrong(() => ({
        remove: (key) => (key === a ? Effect.fail(absentFor("Throttled")) : Effect.fail(absent))
      }))
      assert.deepStrictEqual(yield* storage.delete([a, b]), {
        deleted: [b],
        failed: [{ key: a, reason: "throttled", code: "Throttled", detail: "the store's own words" }]
      })
      const batch = yield* wrong(() => ({
        removeAll: () =>
          Effect.succeed([
            [a, absentFor("AccessDenied")],
            [b, absent]
          ])
      }))
      assert.deepStrictEqual(yield* batch.delete([a, b]), {
        deleted: [b],
        failed: [{ key: a, reason: "denied", code: "AccessDenied", detail: "the store's own words" }]
      })
    })
  )

  it.effect("fails with its own reason, text and cause, and with the key", () =>
    Effect.gen(function* () {
      const cause = new Error("connection refused")
      const storage = yield* wrong(() => ({
        head: () => Effect.fail(Storage.ownStoreError("Unavailable")(cause)),
        removeAll: () => Effect.fail(Storage.ownStoreError("TimedOut")("no answer"))
      }))
      const error = yield* Effect.flip(storage.head(a))
      assert.deepInclude(error, { operation: "head", subject: "a", reason: "Unavailable", cause })
      assert.isTrue(error.isRetryable)
      assert.include(error.message, "connection refused")
      assert.deepInclude(yield* Effect.flip(storage.delete([a])), { operation: "delete", reason: "TimedOut" })
    })
  )

  it.effect("takes a NotFound of head for an absent object", () =>
    Effect.gen(function* () {
      const storage = yield* wrong(() => ({ head: () => Effect.fail(absent) }))
      assert.isTrue(Option.isNone(yield* storage.head(a)))
    })
  )

  it.effect("is opened with the layer and closed with it", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const opening = Effect.acquireRelease(
        Effect.sync(() => {
          seen.push("opened")
          return full()
        }),
        () => Effect.sync(() => void seen.push("closed"))
      )
      const exit = yield* Effect.exit(
        Effect.provide(
          Effect.flatMap(Storage.Storage, ({ identity }) =>
            Effect.sync(() => void seen.push(identity.name ?? ""))
          ),
          Storage.layerFrom(opening)
        )
      )
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(seen, ["opened", "full", "closed"])
    })
  )
})
