/** Runs the app once on a PostgreSQL of its own. DATA_DIRECTORY is where that keeps its files; default `data`. */

import { Postgres } from "artifact-gc"
import { Embedded } from "artifact-gc/embedded"
import { Effect, Layer } from "effect"
import { run } from "./Notes.ts"

const database = Layer.unwrap(
  Effect.map(Embedded.start({ dataDirectory: process.env.DATA_DIRECTORY ?? "data" }), (server) =>
    Postgres.layerClient(server)
  )
)

await Effect.runPromise(Effect.provide(run, database))
