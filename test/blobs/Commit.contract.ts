/**
 * What `commit` of `BlobStore.put` promises on every backend: the rows of a host are committed with the blob,
 * or neither is. The host has a table `attachments` of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Data, Deferred, Effect, Fiber, type Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BlobStore, type PutOptions } from "../../src/blobs/BlobStore.ts"
import type { Digest } from "../../src/domain/Digest.ts"
import type { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { Attachments } from "../fixtures/Attachments.ts"
import { bytesOf, digestOf } from "../fixtures/BlobStores.ts"
import { Database } from "../fixtures/Database.ts"
import { Tables } from "../fixtures/Tables.ts"
import { hour, start } from "../fixtures/World.ts"

export type Services = Attachments | BlobStore | Database | Storage | Sweep | Tables

type Promised = <A, E>(sentence: string, steps: () => Effect.Effect<A, E, Services>) => void

/** A failure of the host's own. */
class HostRefuses extends Data.TaggedError("HostRefuses")<{ readonly why: string }> {}

export const attach = (ticket: string, digest: Digest) =>
  Effect.flatMap(Attachments, ({ add }) => add(ticket, digest))

export const store = <E = never, R = never>(
  content: string,
  options: PutOptions<E, R>,
  body: Stream.Stream<Uint8Array> = Stream.make(bytesOf(content))
) => Effect.flatMap(BlobStore, (blobs) => blobs.put(body, options))

/** Stores the content with a row of the host. */
export const storeFor = (ticket: string, content: string, options: PutOptions = {}) =>
  store(content, { ...options, commit: ({ digest }) => attach(ticket, digest) })

export const attachments = Effect.flatMap(Attachments, ({ rows }) => rows)
const tables = Effect.flatMap(Tables, ({ rows }) => rows)
const unread = Stream.die("the body was read")

/** Lets two hours pass and sweeps, four times. */
export const sweeps = Effect.gen(function* () {
  const sweep = yield* Sweep
  for (let n = 0; n < 4; n++) {
    yield* TestClock.adjust(2 * hour)
    yield* sweep.once()
  }
})

const read = (content: string) =>
  Effect.gen(function* () {
    const chunks = yield* Stream.runCollect((yield* BlobStore).open(digestOf(content)))
    return Buffer.concat(chunks).toString("utf8")
  })

/** Nothing of the content is left, and the host has no row. */
const gone = Effect.fnUntraced(function* (content: string) {
  const after = yield* tables
  assert.deepStrictEqual(yield* attachments, [])
  assert.deepStrictEqual([after.blobs, after.pins, after.intents, after.journal], [[], [], [], []])
  assert.strictEqual((yield* Effect.flip(read(content)))._tag, "BlobUnknown")
})

/** Registers the promises for `layer`. */
export const commitContract = <E>(name: string, layer: () => Layer.Layer<Services, E>): void => {
  const promised: Promised = (sentence, steps) =>
    it.effect(
      sentence,
      () =>
        Effect.gen(function* () {
          yield* TestClock.setTime(start)
          yield* (yield* Database).inspect
          yield* steps()
        }).pipe(Effect.provide(layer())),
      20_000
    )
  describe(`put with commit on ${name}`, () => {
    together(promised)
    failing(promised)
    racing(promised)
    within(promised)
  })
}

const together = (promised: Promised): void => {
  promised("stores new bytes and the host's row together, without a pin", () =>
    Effect.gen(function* () {
      const { othersSee, rows } = yield* Attachments
      let seen: ReadonlyArray<number> = []
      const stored = yield* store("one", {
        commit: Effect.fnUntraced(function* (blob) {
          assert.deepStrictEqual(blob, { digest: digestOf("one"), sizeBytes: 3 })
          yield* attach("t1", blob.digest)
          seen = [(yield* rows).length, (yield* othersSee).length]
        })
      })
      assert.deepStrictEqual(seen, [1, 0], "the transaction sees the row, and others do not")
      assert.deepInclude(stored, { outcome: "uploaded", pin: null })
      assert.deepStrictEqual(yield* attachments, [{ ticket: "t1", digest: digestOf("one") }])
      assert.deepStrictEqual((yield* tables).pins, [])
      yield* sweeps
      assert.strictEqual(yield* read("one"), "one")
    })
  )

  promised("adopts a live blob with the host's row, and reads no byte", () =>
    Effect.gen(function* () {
      yield* storeFor("t1", "one")
      const options = { digest: digestOf("one"), commit: () => attach("t2", digestOf("one")) }
      assert.deepInclude(yield* store("one", options, unread), { outcome: "deduplicated", pin: null })
      assert.deepStrictEqual(
        (yield* attachments).map(({ ticket }) => ticket),
        ["t1", "t2"]
      )
      yield* (yield* Attachments).remove("t1")
      yield* sweeps
      assert.strictEqual(yield* read("one"), "one")
    })
  )

  promised("gives a body that was sent although its blob is live the same treatment", () =>
    Effect.gen(function* () {
      yield* storeFor("t1", "one")
      assert.deepInclude(yield* storeFor("t2", "one"), { outcome: "deduplicated", sizeBytes: 3 })
      assert.lengthOf(yield* attachments, 2)
      yield* sweeps
      assert.deepStrictEqual((yield* tables).journal, [], "the second object is deleted")
      assert.lengthOf((yield* tables).blobs, 1)
    })
  )

  promised("leaves the blob to collectors once the host's row is deleted", () =>
    Effect.gen(function* () {
      yield* storeFor("t1", "one")
      yield* (yield* Attachments).remove("t1")
      yield* sweeps
      yield* gone("one")
    })
  )

  promised("may pin as well", () =>
    Effect.gen(function* () {
      const { pin } = yield* storeFor("t1", "one", { pin: "1 hour" })
      assert.deepStrictEqual(
        (yield* tables).pins.map(({ id }) => id),
        [pin]
      )
      assert.lengthOf(yield* attachments, 1)
    })
  )
}

const failing = (promised: Promised): void => {
  promised("stores nothing if the host's statements fail, and fails with their error", () =>
    Effect.gen(function* () {
      const commit = ({ digest }: { readonly digest: Digest }) =>
        Effect.andThen(attach("t1", digest), new HostRefuses({ why: "the ticket is closed" }))
      const failure = yield* Effect.flip(store("one", { commit, pin: "1 hour" }))
      assert.deepInclude(failure, { _tag: "HostRefuses", why: "the ticket is closed" })
      const after = yield* tables
      assert.deepStrictEqual([after.blobs, after.pins], [[], []])
      assert.lengthOf(after.intents, 1, "the bytes that were sent wait for the reaper")
      yield* sweeps
      yield* gone("one")
    })
  )

  promised("leaves a live blob as it was if the host's statements fail", () =>
    Effect.gen(function* () {
      yield* storeFor("t1", "one")
      yield* TestClock.adjust(hour)
      const before = yield* tables
      const failure = yield* Effect.flip(
        store("one", { digest: digestOf("one"), commit: () => new HostRefuses({ why: "closed" }) }, unread)
      )
      assert.deepInclude(failure, { _tag: "HostRefuses" })
      assert.deepStrictEqual(yield* tables, before)
      assert.lengthOf(yield* attachments, 1)
    })
  )

  promised("stores nothing if the host catches the failure of a statement", () =>
    Effect.gen(function* () {
      yield* storeFor("t1", "one")
      const failure = yield* Effect.flip(
        store("two", { commit: ({ digest }) => Effect.ignore(attach("t1", digest)) })
      )
      assert.include(String(failure), "SQLSTATE 25P02")
      assert.lengthOf((yield* tables).blobs, 1)
      assert.lengthOf(yield* attachments, 1)
    })
  )

  promised("stores nothing if the process dies within the host's statements", () =>
    Effect.gen(function* () {
      const isInside = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        store("one", {
          commit: ({ digest }) =>
            attach("t1", digest).pipe(
              Effect.andThen(Deferred.succeed(isInside, undefined)),
              Effect.andThen(Effect.never)
            )
        })
      )
      yield* Deferred.await(isInside)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual((yield* tables).blobs, [])
      yield* sweeps
      yield* gone("one")
    })
  )
}

const racing = (promised: Promised): void => {
  promised("commits the host's row once if a collector reaped the upload", () =>
    Effect.gen(function* () {
      let tries = 0
      const reap = Effect.gen(function* () {
        const now = yield* Clock.currentTimeMillis
        assert.strictEqual(yield* (yield* Database).journal.reapIntents(now + 24 * hour, now, 10), 1)
      })
      const body = Stream.concat(Stream.make(bytesOf("one")), Stream.fromEffectDrain(reap))
      const blobs = yield* BlobStore
      const stored = yield* blobs.put(body, {
        commit: ({ digest }) => {
          tries += 1
          return attach("t1", digest)
        }
      })
      assert.deepInclude(stored, { outcome: "uploaded" })
      assert.strictEqual(tries, 1)
      assert.lengthOf(yield* attachments, 1)
      yield* sweeps
      assert.strictEqual(yield* read("one"), "one")
      assert.deepStrictEqual((yield* tables).intents, [])
    })
  )

  promised("commits both rows of two writers that store the same bytes at once", () =>
    Effect.gen(function* () {
      const stored = yield* Effect.all([storeFor("t1", "one"), storeFor("t2", "one")], { concurrency: 2 })
      assert.sameMembers(
        stored.map(({ outcome }) => outcome),
        ["uploaded", "deduplicated"]
      )
      assert.lengthOf(yield* attachments, 2)
      assert.lengthOf((yield* tables).blobs, 1)
    })
  )

  promised("keeps a condemned blob from a purge while the host's statements run", () =>
    Effect.gen(function* () {
      yield* storeFor("t1", "one")
      yield* (yield* Attachments).remove("t1")
      const { orphans } = yield* Database
      const sweep = yield* Sweep
      for (let n = 0; n < 2; n++) {
        yield* TestClock.adjust(2 * hour)
        yield* sweep.once()
      }
      assert.isNotNull((yield* tables).orphans[0]?.condemnedAt ?? null)
      const now = yield* Clock.currentTimeMillis
      const purge = orphans.purge({
        now,
        condemnedCutoff: now,
        seenCutoff: now,
        usedCutoff: now,
        limit: 10,
        after: null,
        deleteNotBefore: now,
        leaseUntil: null
      })
      const commit = Effect.fnUntraced(function* ({ digest }: { readonly digest: Digest }) {
        assert.lengthOf((yield* purge).purged, 0)
        yield* attach("t2", digest)
      })
      yield* store("one", { digest: digestOf("one"), commit }, unread)
      assert.lengthOf((yield* purge).purged, 0)
      assert.strictEqual(yield* read("one"), "one")
    })
  )
}

/** Where the host's statements run. */
class Clerk extends Context.Service<Clerk, { readonly ticket: string }>()("test/Clerk") {}

const within = (promised: Promised): void => {
  promised("gives the statements the caller's services and clock", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("400 days")
      let at = 0
      const commit = Effect.fnUntraced(function* ({ digest }: { readonly digest: Digest }) {
        at = yield* Clock.currentTimeMillis
        yield* attach((yield* Clerk).ticket, digest)
      })
      yield* store("one", { commit }).pipe(Effect.provideService(Clerk, { ticket: "t9" }))
      assert.strictEqual(at, start + 400 * 24 * hour)
      assert.deepStrictEqual(yield* attachments, [{ ticket: "t9", digest: digestOf("one") }])
    })
  )

  promised("lets verbs that join take part in the transaction", () =>
    Effect.gen(function* () {
      const blobs = yield* BlobStore
      const { pin } = yield* store("one", { pin: "1 hour" })
      const unpins = (digest: Digest) =>
        Effect.all([blobs.stat(digest), blobs.unpin([pin ?? ""]), attach("t1", digest)])
      const failed = yield* Effect.exit(
        store("one", {
          commit: ({ digest }) => Effect.andThen(unpins(digest), new HostRefuses({ why: "closed" }))
        })
      )
      assert.strictEqual(failed._tag, "Failure")
      assert.lengthOf((yield* tables).pins, 1, "the rollback brings the pin back")
      yield* store("one", { digest: digestOf("one"), commit: ({ digest }) => unpins(digest) })
      assert.deepStrictEqual((yield* tables).pins, [])
      assert.lengthOf(yield* attachments, 1)
    })
  )

  promised("lets a statement fail in a transaction of the host's own within, which is a savepoint", () =>
    Effect.gen(function* () {
      const { transaction } = yield* Attachments
      yield* storeFor("t1", "one")
      const commit = ({ digest }: { readonly digest: Digest }) =>
        Effect.andThen(Effect.ignore(transaction(attach("t1", digest))), attach("t2", digest))
      yield* store("two", { commit })
      assert.deepStrictEqual(yield* attachments, [
        { ticket: "t1", digest: digestOf("one") },
        { ticket: "t2", digest: digestOf("two") }
      ])
    })
  )

  promised("is committed although the caller's own transaction rolls back", () =>
    Effect.gen(function* () {
      const { transaction } = yield* Attachments
      yield* storeFor("t0", "zero")
      yield* Effect.exit(
        transaction(
          Effect.gen(function* () {
            yield* attach("t1", digestOf("zero"))
            yield* storeFor("t2", "one")
            return yield* new HostRefuses({ why: "the host changes its mind" })
          })
        )
      )
      assert.deepStrictEqual(
        (yield* attachments).map(({ ticket }) => ticket),
        ["t0", "t2"]
      )
    })
  )
}
