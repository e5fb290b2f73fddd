/**
 * How unannounced writers lose bytes to a collector, step by step, and that the triggers prevent each loss.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fails } from "../../../src/testing/Faults.ts"
import type { Server } from "../../fixtures/Databases.ts"
import {
  inserts,
  missing,
  refers,
  refused,
  type Stage,
  stage,
  unannouncedKey,
  unverified
} from "../../fixtures/database/WriterStage.ts"
import { artifact, digest, key, pin } from "../../fixtures/samples.ts"
import { ref } from "../../oci/database/contract/Sessions.ts"

/** An unannounced blob is purged, and its DELETE arrives after its writer's next upload. */
const lateDelete = Effect.fnUntraced(function* (s: Stage) {
  yield* s.puts(1)
  yield* inserts(s.session, 1)
  // The DELETE gets no answer and is still on its way.
  s.faults.next("delete", fails("TimedOut"))
  yield* s.purges
  assert.isFalse(yield* s.looks(1))
  yield* s.puts(1)
  yield* inserts(s.session, 1)
  return { arrives: Effect.sync(() => s.objects.delete(unannouncedKey(1))) }
})

const late = (server: Server): void => {
  it.live(
    "a DELETE that arrives late meets the bytes of a second upload, which were copied away before",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        const request = yield* lateDelete(s)
        yield* refused(unverified, refers(s.session, "tag", 1))
        assert.deepInclude((yield* s.sweeps).phases.suspects, { seen: 1, kept: { adopted: 1 } })
        yield* request.arrives
        yield* refers(s.session, "tag", 1)
        yield* s.sweeps
        assert.deepStrictEqual(yield* s.lost, [])
        assert.deepStrictEqual((yield* s.tables.rows).references, [artifact("tag", 1)])
        assert.lengthOf([...s.objects.keys()], 1, "and no leftover")
      })
  )

  it.live(
    "a DELETE that arrives before the copy leaves no blob to refer to, and the writer sends again",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        const request = yield* lateDelete(s)
        yield* request.arrives
        assert.deepInclude((yield* s.sweeps).phases.suspects, { seen: 1, kept: { dropped: 1 } })
        yield* refused(missing, refers(s.session, "tag", 1))
        yield* s.puts(1)
        yield* inserts(s.session, 1)
        yield* s.sweeps
        yield* refers(s.session, "tag", 1)
        assert.deepStrictEqual(yield* s.lost, [])
      })
  )

  it.live("control: without the triggers it deletes the bytes of a reference", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      const request = yield* lateDelete(s)
      yield* refers(s.session, "tag", 1)
      yield* request.arrives
      yield* s.sweeps
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )
}

/** A writer finds a row and sends nothing, while the blob is purged and its object deleted. */
const skippedPut = Effect.fnUntraced(function* (s: Stage) {
  // Under a fresh key, so only a tombstone of the digest can help.
  yield* s.stores(1, "first")
  assert.isTrue(yield* s.looks(1))
  assert.deepInclude((yield* s.purges).totals, { deleted: 1 })
  yield* inserts(s.session, 1)
})

const skipped = (server: Server): void => {
  it.live("a writer that sent nothing because it saw a row inserts one without bytes, which is dropped", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* skippedPut(s)
      assert.deepStrictEqual(yield* s.suspects, [{ digest: digest(1), key: unannouncedKey(1) }])
      yield* refused(unverified, refers(s.session, "tag", 1))
      yield* s.sweeps
      yield* refused(missing, refers(s.session, "tag", 1))
      assert.deepStrictEqual((yield* s.tables.rows).blobs, [])
      assert.deepStrictEqual(yield* s.suspects, [], "and the suspicion is forgotten")
      assert.isFalse(yield* s.looks(1))
      yield* s.puts(1)
      yield* inserts(s.session, 1)
      yield* s.sweeps
      yield* refers(s.session, "tag", 1)
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live("control: without the triggers its reference is to a blob without bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      yield* skippedPut(s)
      yield* refers(s.session, "tag", 1)
      yield* s.sweeps
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )

  it.live(
    "control: with tombstones for unannounced keys only, its reference is to a blob without bytes",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* s.stores(1, "first")
        yield* s.purges
        yield* s.session("DELETE FROM artifact_gc.tombstones")
        yield* inserts(s.session, 1)
        yield* refers(s.session, "tag", 1)
        yield* s.sweeps
        assert.deepStrictEqual(yield* s.lost, ["tag"])
      })
  )
}

/** The search for leftovers finds bytes that were put and whose row is not inserted yet. */
const foundByListing = Effect.fnUntraced(function* (s: Stage) {
  yield* s.puts(1)
  const [now, object] = [Date.now(), { key: unannouncedKey(1), sizeBytes: 1 }]
  assert.deepStrictEqual(yield* s.database.leftovers.journal(now, [object], now), [unannouncedKey(1)])
  yield* inserts(s.session, 1)
})

const listed = (server: Server): void => {
  it.live("an upload that was journaled as a leftover before its row was inserted is verified first", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* foundByListing(s)
      yield* refused(unverified, refers(s.session, "tag", 1))
      yield* s.sweeps
      yield* refers(s.session, "tag", 1)
      s.objects.delete(unannouncedKey(1))
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live("control: without the triggers the DELETE that is on its way deletes its bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      yield* foundByListing(s)
      yield* refers(s.session, "tag", 1)
      yield* s.sweeps
      s.objects.delete(unannouncedKey(1))
      assert.deepStrictEqual(yield* s.lost, ["tag"])
    })
  )
}

const found = (server: Server): void => {
  /** A blob that one sweep condemned, and that a writer then finds. */
  const dedup = Effect.fnUntraced(function* (s: Stage) {
    yield* s.stores(1, "first")
    const slice = yield* s.database.orphans.readSlice(null, 100)
    const at = Date.now() - 10
    yield* s.database.orphans.record(slice, {
      now: at,
      seen: [digest(1)],
      condemned: [digest(1)],
      sweep: "s"
    })
    assert.lengthOf((yield* s.tables.rows).orphans, 1)
    assert.deepStrictEqual(yield* inserts(s.session, 1), [])
  })

  it.live("a row that ON CONFLICT DO NOTHING finds is no longer an orphan", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* dedup(s)
      assert.deepStrictEqual((yield* s.tables.rows).orphans, [])
      assert.strictEqual(yield* s.keyOf(1), key("1-first"))
    })
  )

  it.live("control: without the triggers its quarantine continues", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, false)
      yield* dedup(s)
      assert.lengthOf((yield* s.tables.rows).orphans, 1)
    })
  )
}

const native = (server: Server): void => {
  it.live("native writers upload collected content again without waiting", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* s.stores(1, "first")
      yield* s.purges
      assert.deepStrictEqual(yield* s.stores(1, "second", "tag"), ["published"])
      assert.deepStrictEqual(yield* s.suspects, [])
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live("native writers replace a suspect's bytes", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* skippedPut(s)
      const dedup = yield* s.database.blobs.adopt(Date.now(), [artifact("tag", 1)])
      assert.deepStrictEqual([...dedup], [], "a suspect is not found")
      assert.deepStrictEqual(yield* s.stores(1, "second", "tag"), ["published"])
      assert.strictEqual(yield* s.keyOf(1), key("1-second"))
      yield* refers(s.session, "another", 1)
      yield* s.sweeps
      assert.deepStrictEqual(yield* s.suspects, [])
      assert.deepStrictEqual((yield* s.tables.rows).journal, [])
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live("the bytes of a native writer that pins a suspect are kept, and not the suspect's", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* skippedPut(s)
      const at = key("1-pinned")
      const now = Date.now()
      yield* s.database.blobs.intend([{ key: at, digest: digest(1), expiresAt: now + 60_000 }])
      s.objects.set(at, { bytes: new Uint8Array(1), modifiedAt: now })
      const pin = { id: "pin", digest: digest(1), expiresAt: now + 60_000 }
      const publication = { key: at, digest: digest(1), sizeBytes: 1, references: [], pins: [pin] }
      assert.deepStrictEqual(yield* s.database.blobs.publish(now, [publication]), ["published"])
      yield* s.sweeps
      assert.strictEqual(yield* s.keyOf(1), at)
    })
  )

  it.live("an upload session's chunk becomes a blob of collected content without becoming suspect", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* collectedAndPushed(s)
      const publication = { key: chunkKey, digest: digest(1), sizeBytes: 1, pins: [pin("hold", 1)] }
      const outcome = yield* s.database.sessions.complete(Date.now(), ref("s"), "mine", publication)
      assert.strictEqual(outcome, "published")
      yield* s.database.blobs.adopt(Date.now(), [artifact("tag", 1)])
      assert.deepStrictEqual(yield* s.suspects, [])
      yield* s.sweeps
      assert.strictEqual(yield* s.keyOf(1), chunkKey)
      assert.deepStrictEqual(yield* s.lost, [])
    })
  )

  it.live(
    "control: a chunk that becomes a blob without a new intent is taken for an unannounced writer's",
    () =>
      Effect.gen(function* () {
        const s = yield* stage(server, true)
        yield* collectedAndPushed(s)
        yield* s.session("DELETE FROM artifact_gc.upload_chunks")
        yield* s.session(
          "INSERT INTO blobs (digest, object_key, size_bytes, created_at) VALUES ($1, $2, 1, now())",
          [digest(1), chunkKey]
        )
        assert.deepStrictEqual(yield* s.suspects, [{ digest: digest(1), key: chunkKey }])
        yield* refused(unverified, refers(s.session, "tag", 1))
      })
  )
}

const chunkKey = key("chunk")

/**
 * Blob 1 was collected, and is uploaded again as the only chunk of session `s`, which is claimed as `mine`.
 */
const collectedAndPushed = Effect.fnUntraced(function* (s: Stage) {
  yield* s.stores(1, "first")
  yield* s.purges
  const now = Date.now()
  const { blobs, sessions } = s.database
  yield* sessions.open(now, { ...ref("s"), algorithm: "sha256" })
  yield* blobs.intend([{ key: chunkKey, digest: null, expiresAt: now + 60_000 }])
  s.objects.set(chunkKey, { bytes: new Uint8Array(1), modifiedAt: now })
  const chunk = { key: chunkKey, startByte: 0, sizeBytes: 1, digest: digest(1) }
  assert.strictEqual((yield* sessions.append(now, ref("s"), chunk))._tag, "appended")
  yield* sessions.claim(now, ref("s"), { token: "mine", until: now + 60_000 })
})

const stores = (server: Server): void => {
  it.live("a store that is down leaves suspects suspect", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* lateDelete(s)
      s.faults.next("copy", fails("Unavailable"))
      assert.deepInclude((yield* s.sweeps).phases.suspects, { seen: 1, failed: { Unavailable: 1 } })
      assert.lengthOf(yield* s.suspects, 1)
      yield* refused(unverified, refers(s.session, "tag", 1))
    })
  )

  it.live("a bucket that does not exist leaves suspects suspect, too", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* lateDelete(s)
      s.faults.next("copy", fails("NotFound"))
      s.faults.next("probe", fails("NotFound"))
      assert.strictEqual((yield* s.sweeps).phases.suspects.error?.tag, "StorageError")
      assert.lengthOf((yield* s.tables.rows).blobs, 1)
    })
  )

  it.live("a copy that arrives after it was given up is deleted like any unfinished upload", () =>
    Effect.gen(function* () {
      const s = yield* stage(server, true)
      yield* lateDelete(s)
      s.faults.next("copy", fails("TimedOut"))
      yield* s.sweeps
      const [intent] = (yield* s.tables.rows).intents
      assert.isDefined(intent)
      if (intent === undefined) return
      s.objects.set(intent.key, { bytes: new Uint8Array(1), modifiedAt: 0 })
      yield* s.session("UPDATE artifact_gc.intents SET expires_at = to_timestamp(0)")
      yield* s.sweeps
      yield* Effect.sleep("5 millis")
      yield* s.sweeps
      assert.isFalse(s.objects.has(intent.key))
    })
  )
}

export const losses = (server: Server): void => {
  describe("unannounced writers", () => {
    late(server)
    skipped(server)
    listed(server)
    found(server)
    native(server)
    stores(server)
  })
}
