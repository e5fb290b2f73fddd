/**
 * Two users share an avatar, and a third has another. Two of them leave, and the collector deletes what no user has any
 * more. PostgreSQL and the objects are kept below DATA_DIRECTORY; default `data`.
 */
import { BlobStore, CatalogNames, FilesStorage, Postgres, Sweep } from "artifact-gc"
import { Embedded } from "artifact-gc/embedded"
import { Duration, Effect, Layer } from "effect"
import * as Avatars from "./Avatars.ts"
import { Redis } from "./Redis.ts"

const data = process.env.DATA_DIRECTORY ?? "data"

const client = Layer.unwrap(
  Effect.map(Embedded.start({ dataDirectory: `${data}/postgres` }), (server) => Postgres.layerClient(server))
)

/** Without waits, so that the demonstration need not wait. An app keeps the defaults: an hour each. */
const collector = Sweep.Sweep.layer({
  sources: [Avatars.source],
  grace: Duration.zero,
  quarantine: Duration.zero
})

const app = Layer.mergeAll(collector, BlobStore.BlobStore.layer()).pipe(
  Layer.provide(Layer.mergeAll(Postgres.layer(), FilesStorage.layer({ directory: `${data}/objects` }))),
  Layer.provideMerge(Layer.merge(Redis.layer, client))
)

const main = Effect.gen(function* () {
  yield* Postgres.migrate(CatalogNames.defaultNames, { createCatalog: "artifacts" })
  yield* Avatars.set("ada", new Uint8Array(1000))
  yield* Avatars.set("bob", new Uint8Array(1000))
  yield* Avatars.set("eve", new Uint8Array(2000))
  yield* Avatars.remove("bob")
  yield* Avatars.remove("eve")
  const { phases } = yield* (yield* Sweep.Sweep).once()
  yield* Effect.log("the sweep", { deleted: phases.orphans.deleted, kept: phases.orphans.kept })
  yield* Effect.log("ada's avatar has", yield* Avatars.read("ada"), "bytes")
})

await Effect.runPromise(Effect.provide(main, app))
