/** The report that needs a bucket with real versions and locks. See docs/design/incidents.md. */

import { PutObjectLegalHoldCommand } from "@aws-sdk/client-s3"
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Layer, Stream } from "effect"
import { Digest } from "../../src/domain/Digest.ts"
import { ObjectKey } from "../../src/domain/ObjectKey.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import * as AllDatabases from "../fixtures/Database.ts"
import { onRealS3, ownBucket } from "../fixtures/s3/RealServer.ts"

const hasty = { grace: Duration.zero, quarantine: Duration.zero }

const keyOf = (name: string) => ObjectKey.make(`blobs/${name}/1`)

/** Makes two orphans and a referenced blob, with two versions each, and a sweep. */
const scene = Effect.fnUntraced(function* (choice: "markers" | "versions" | undefined, isLockable = false) {
  const bucket = yield* ownBucket(isLockable)
  yield* bucket.setVersioning("Enabled")
  const storage = yield* bucket.storage(choice)
  const state = AllDatabases.emptyState()
  for (const name of ["a", "b", "live"]) {
    const key = keyOf(name)
    for (let version = 0; version < 2; version++) yield* storage.put(key, Stream.make(new Uint8Array(1)), 1)
    state.blobs.set(Digest.make(name), { key, sizeBytes: 1, createdAt: 0, lastUsedAt: 0 })
  }
  const digest = Digest.make("live")
  state.references.set("live", { _tag: "Artifact", repository: "library", name: "live", digest })
  const services = Layer.merge(AllDatabases.inMemory(state), Layer.succeed(Storage, storage))
  const context = yield* Layer.build(Layer.provide(Sweep.layerUnchecked(hasty), services))
  return { ...bucket, state, sweep: Context.get(context, Sweep) }
})

const twice = (...names: ReadonlyArray<string>) => names.flatMap((name) => [keyOf(name), keyOf(name)])

onRealS3("Incidents", (name) => {
  describe(`onhate/cdk-gc#4: on a versioned bucket a collector grew storage; on S3 (${name})`, () => {
    it.live("without S3_VERSIONED_DELETE the sweep is refused and changes nothing", () =>
      Effect.gen(function* () {
        const { held, sweep } = yield* scene(undefined)
        const report = yield* sweep.once()
        assert.strictEqual(report.outcome, "refused")
        assert.include(report.guards[0]?.message, "S3_VERSIONED_DELETE")
        assert.deepStrictEqual<unknown>(yield* held, twice("a", "b", "live"))
      })
    )

    it.live("with versions, only the versions of the referenced blob are left", () =>
      Effect.gen(function* () {
        const { held, sweep } = yield* scene("versions")
        const { store, totals } = yield* sweep.once()
        assert.deepInclude(totals, { deleted: 2, reclaimedBytes: 2 })
        assert.deepInclude(store, { versioning: "on", deletes: "versions" })
        assert.deepStrictEqual<unknown>(yield* held, twice("live"))
      })
    )

    it.live(
      "control: with markers, the number of entries grows, and the report counts no reclaimed byte",
      () =>
        Effect.gen(function* () {
          const { held, sweep } = yield* scene("markers")
          assert.deepInclude((yield* sweep.once()).totals, { deleted: 2, reclaimedBytes: 0 })
          assert.lengthOf(yield* held, 8)
        })
    )

    it.live("a locked object fails alone, and is deleted after its lock has ended", () =>
      Effect.gen(function* () {
        const { Bucket, client, held, state, sweep, versionsOf } = yield* scene("versions", true)
        const [VersionId] = yield* versionsOf(keyOf("a"))
        const hold = (Status: "ON" | "OFF") =>
          Effect.promise(() =>
            client.send(
              new PutObjectLegalHoldCommand({ Bucket, Key: keyOf("a"), VersionId, LegalHold: { Status } })
            )
          )
        yield* hold("ON")
        const report = yield* sweep.once()
        assert.deepInclude(report.totals, { deleted: 1, failed: 1 })
        assert.deepStrictEqual(report.phases.orphans.failed, { Locked: 1 })
        assert.notInclude(yield* held, keyOf("b"))
        assert.include(yield* held, keyOf("a"))
        assert.deepStrictEqual<unknown>([...state.journal.keys()], [keyOf("a")])
        yield* hold("OFF")
        // Ends the back-off.
        for (const [key, row] of state.journal) state.journal.set(key, { ...row, notBefore: 0 })
        assert.strictEqual((yield* sweep.once()).totals.deleted, 1)
        assert.deepStrictEqual<unknown>(yield* held, twice("live"))
      })
    )
  })
})
