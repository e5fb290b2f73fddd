/** The programs of a stranger who installed the package: each uses what its entry points export, and nothing else. */

/** Sweeps a memory store through three hours, and prints how much was deleted. */
export const timeTravel = `import { CatalogNames, type Collector, type Database, type DatabaseError, type SchemaRefused, MemoryDatabase, MemoryStorage, ObjectKey, Postgres, Storage, type StorageError, Sweep } from "artifact-gc"
import { Facts } from "artifact-gc/testing"
import { Duration, Effect, type Layer, Stream } from "effect"
import type { SqlClient } from "effect/sql"
import { TestClock } from "effect/testing"

// Types alone: a host's own client serves the database, and every error can be matched.
export const database: Layer.Layer<Database.BlobDatabase | Database.CollectorDatabase, never, SqlClient.SqlClient> = Postgres.layer(CatalogNames.defaultNames)
export type Errors = DatabaseError | SchemaRefused | StorageError
export type Schedule = Collector.ScheduleOptions
export const facts: typeof Facts = Facts

const test = Effect.gen(function* () {
  const { put } = yield* Storage.Storage
  yield* put(ObjectKey.ObjectKey.make("uploads/abandoned/1"), Stream.make(new Uint8Array(3)), 3)
  yield* TestClock.adjust("2 days")
  const report = yield* (yield* Sweep.Sweep).once()
  return report.totals.deleted
}).pipe(
  Effect.provide(Sweep.Sweep.layer({ uploadGrace: Duration.hours(1) })),
  Effect.provide([MemoryDatabase.layer(), MemoryStorage.layer]),
  Effect.provide(TestClock.layer())
)

console.log(await Effect.runPromise(test))
`

/** Names every other entry point, for the compiler alone: their packages are not installed. */
export const everything = `import { S3Storage } from "artifact-gc/s3"
import { OciRoutes, RegistryPhases, Repositories, Uploads } from "artifact-gc/oci"
import { Embedded } from "artifact-gc/embedded"
import { StorageContract } from "artifact-gc/testing"
import { Storage } from "artifact-gc"

export const ownStore = (own: Storage.OwnStore) => Storage.layerFrom(own)
export const cases: ReadonlyArray<StorageContract.Case> = StorageContract.cases
export const store = S3Storage.layer({ bucket: "artifacts", region: "eu-central-1" })
export const parts = [OciRoutes, RegistryPhases, Repositories, Uploads, Embedded]
`

/** Prints the CPU milliseconds of an import. */
export const importCost = (name: string): string => `const before = process.cpuUsage()
await import(${JSON.stringify(name)})
const { user, system } = process.cpuUsage(before)
console.log((user + system) / 1000)
`

/** Starts a PostgreSQL with the tables of the package, prints where it is as variables of its clients, and serves. */
export const catalogue = `import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { CatalogNames, Postgres } from "artifact-gc"
import { Embedded } from "artifact-gc/embedded"
import { Console, Effect } from "effect"

const dataDirectory = process.env.DATA_DIRECTORY ?? "data"

const program = Effect.gen(function* () {
  const server = yield* Embedded.start({ dataDirectory, durable: false })
  yield* Effect.provide(
    Postgres.migrate(CatalogNames.defaultNames, { createCatalog: "artifacts" }),
    Postgres.layerClient(server)
  )
  const { database, port, socketDirectory, user } = server
  const place = { PGHOST: socketDirectory, PGPORT: String(port), PGUSER: user, PGDATABASE: database }
  yield* Console.log(JSON.stringify(place))
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.scoped(program))
`
