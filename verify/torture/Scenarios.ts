/** The scenarios that run under each fault: pushes, and a sweep that finds garbage of every kind. */

import { Duration, Effect, Layer, Stream } from "effect"
import type { SqlClient } from "effect/sql"
import { Artifacts, type Reference } from "../../src/artifacts/Artifacts.ts"
import { BlobStore } from "../../src/blobs/BlobStore.ts"
import { BlobDatabase, type CollectorDatabase } from "../../src/database/Database.ts"
import { fresh, ObjectKey } from "../../src/domain/ObjectKey.ts"
import { Storage } from "../../src/storage/Storage.ts"
import { Sweep } from "../../src/sweep/Sweep.ts"
import type { Servers } from "../bench/harness/Servers.ts"
import { content } from "./Contents.ts"
import * as FinalState from "./FinalState.ts"

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
  Effect.gen(function* () {
    const { add } = yield* Artifacts
    return yield* (yield* BlobStore).put(body(what.bytes), {
      ...(isDeclared ? { digest: what.digest, sizeBytes: what.bytes.length } : {}),
      commit: () => add([reference(name, what)])
    })
  })

/** Puts an object that no row names, like an upload that arrives after its intent was reaped. */
const leaveObject = Effect.gen(function* () {
  const storage = yield* Storage
  yield* storage.put(yield* fresh("blobs/", third.digest), body(third.bytes), third.bytes.length)
})

/** Announces an upload, begins it in parts, and abandons it. */
const abandonUpload = Effect.gen(function* () {
  const blobs = yield* BlobDatabase
  const storage = yield* Storage
  const key = yield* fresh("blobs/", large.digest)
  yield* blobs.intend([{ key, digest: large.digest, expiresAt: 1 }])
  yield* Effect.exit(
    storage.put(key, Stream.concat(body(large.bytes), Stream.fail("the writer died")), null, {
      onMultipart: (uploadId) => Effect.ignore(blobs.recordMultipart(key, uploadId))
    })
  )
})

/** Leaves two orphans, a referenced blob, an abandoned upload, a leftover object and a staged chunk. */
const makeGarbage = Effect.gen(function* () {
  const { unreference } = yield* Artifacts
  const storage = yield* Storage
  yield* push("kept", small)
  yield* push("dropped", other)
  yield* push("dropped too", large)
  yield* unreference([reference("dropped", other), reference("dropped too", large)])
  yield* abandonUpload
  yield* leaveObject
  yield* storage.put(ObjectKey.make("uploads/forgotten/1"), body(small.bytes), small.bytes.length)
})

type Services =
  | Artifacts
  | BlobDatabase
  | BlobStore
  | CollectorDatabase
  | Storage
  | Sweep
  | SqlClient.SqlClient

/** Describes a scenario. */
export interface Scenario {
  /** Prepares the servers, without faults. */
  readonly arrange: Effect.Effect<unknown, unknown, Services>
  /** Runs the steps that faults strike. */
  readonly act: Effect.Effect<unknown, unknown, Services>
  /** A name whose reference must exist after `act` succeeded, or null. */
  readonly acknowledges: string | null
}

/** All scenarios by name. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  "a push": { arrange: Effect.void, act: push("new", small), acknowledges: "new" },
  "a push without a digest": {
    arrange: Effect.void,
    act: push("new", small, false),
    acknowledges: "new"
  },
  "a push in parts": { arrange: Effect.void, act: push("new", large), acknowledges: "new" },
  "a push of a blob that exists": {
    arrange: push("old", small),
    act: push("new", small),
    acknowledges: "new"
  },
  "a push of a blob that is condemned": {
    arrange: Effect.gen(function* () {
      yield* push("old", small)
      yield* (yield* Artifacts).unreference([reference("old", small)])
      yield* (yield* Sweep).once()
    }),
    act: push("new", small),
    acknowledges: "new"
  },
  "a pin and its reference": {
    arrange: push("old", small),
    act: Effect.gen(function* () {
      const store = yield* BlobStore
      const pin = yield* Effect.flatMap(store.pin(small.digest, Duration.hours(1)), Effect.fromOption)
      yield* (yield* Artifacts).reference([reference("new", small)], { release: [pin] })
    }),
    acknowledges: "new"
  },
  "a sweep": {
    arrange: makeGarbage,
    act: Effect.flatMap(Sweep, (sweep) => sweep.once()),
    acknowledges: null
  }
}

/** The services of a scenario, in this process or in one that is killed. */
export const services = (servers: Servers) =>
  BlobStore.layer().pipe(Layer.provideMerge(FinalState.services(servers)))
