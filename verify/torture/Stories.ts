/** What is done under each fault in turn: pushes, and a sweep that finds garbage of every kind. */

import { Duration, Effect, Layer, Stream } from "effect"
import type { SqlClient } from "effect/sql"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import { Database, type Reference } from "../../src/database/Database.ts"
import { fresh, ObjectKey } from "../../src/domain/ObjectKey.ts"
import { registryPhases } from "../../src/oci/RegistryPhases.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import { content } from "./Contents.ts"
import { layers, type Place } from "./Place.ts"
import { unhurried } from "./Verdict.ts"

/** Contents by what is special about them. */
const small = content(1)
const large = content(7)
const other = content(2)
const third = content(4)

const reference = (name: string, { digest }: { readonly digest: Reference["digest"] }): Reference => ({
  _tag: "Artifact",
  repository: "torture",
  name,
  digest
})

const body = (bytes: Uint8Array) => Stream.make(bytes)

const push = (name: string, what: typeof small, isDeclared = true) =>
  Effect.flatMap(BlobStore, (store) =>
    store.put(body(what.bytes), {
      ...(isDeclared ? { digest: what.digest, sizeBytes: what.bytes.length } : {}),
      references: [reference(name, what)]
    })
  )

/** An object that nothing names, as an upload leaves it that lands after its intent was reaped. */
const strand = Effect.gen(function* () {
  const storage = yield* Storage
  yield* storage.put(yield* fresh("blobs/", third.digest), body(third.bytes), third.bytes.length)
})

/** Announced, begun in parts, and given up. */
const abandon = Effect.gen(function* () {
  const { blobs } = yield* Database
  const storage = yield* Storage
  const key = yield* fresh("blobs/", large.digest)
  yield* blobs.intend([{ key, digest: large.digest, expiresAt: 1 }])
  yield* Effect.exit(
    storage.put(key, Stream.concat(body(large.bytes), Stream.fail("the writer is gone")), null, {
      onMultipart: (uploadId) => Effect.ignore(blobs.recordMultipart(key, uploadId))
    })
  )
})

/** Two orphans, a blob that lives, an abandoned upload, a stranded object, a staged chunk. */
const litter = Effect.gen(function* () {
  const store = yield* BlobStore
  const storage = yield* Storage
  yield* push("kept", small)
  yield* push("dropped", other)
  yield* push("dropped too", large)
  yield* store.unreference([reference("dropped", other), reference("dropped too", large)])
  yield* abandon
  yield* strand
  yield* storage.put(ObjectKey.make("uploads/forgotten/1"), body(small.bytes), small.bytes.length)
})

type Services = BlobStore | Database | Storage | Sweep | SqlClient.SqlClient

export interface Story {
  readonly arrange: Effect.Effect<unknown, unknown, Services>
  readonly act: Effect.Effect<unknown, unknown, Services>
  /** A name whose reference must be there when `act` succeeded. */
  readonly acknowledges: string | null
}

export const stories: Readonly<Record<string, Story>> = {
  "a push": { arrange: Effect.void, act: push("new", small), acknowledges: "new" },
  "a push of bytes that nobody has measured": {
    arrange: Effect.void,
    act: push("new", small, false),
    acknowledges: "new"
  },
  "a push in parts": { arrange: Effect.void, act: push("new", large), acknowledges: "new" },
  "a push of what is there": {
    arrange: push("old", small),
    act: push("new", small),
    acknowledges: "new"
  },
  "a push of what is condemned": {
    arrange: Effect.gen(function* () {
      yield* push("old", small)
      yield* (yield* BlobStore).unreference([reference("old", small)])
      yield* (yield* Sweep).once()
    }),
    act: push("new", small),
    acknowledges: "new"
  },
  "a promise and its reference": {
    arrange: push("old", small),
    act: Effect.gen(function* () {
      const store = yield* BlobStore
      const pin = yield* Effect.flatMap(store.pin(small.digest, Duration.hours(1)), Effect.fromOption)
      yield* store.reference([reference("new", small)], { release: [pin] })
    }),
    acknowledges: "new"
  },
  "a sweep": {
    arrange: litter,
    act: Effect.flatMap(Sweep, (sweep) => sweep.once()),
    acknowledges: null
  }
}

/** The same services for a story in this process and in one that will be killed. */
export const services = (place: Place) =>
  Layer.mergeAll(BlobStore.layer(), Sweep.layer(unhurried, registryPhases)).pipe(
    Layer.provideMerge(layers(place))
  )
