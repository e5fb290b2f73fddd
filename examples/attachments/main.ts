/** Serves on PORT, default 3000, with PostgreSQL and the objects below DATA_DIRECTORY, default `data`. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { FilesStorage, Postgres } from "artifact-gc"
import { Embedded } from "artifact-gc/embedded"
import { Effect, Layer } from "effect"
import * as App from "./App.ts"

const { DATA_DIRECTORY: data = "data", PORT = "3000" } = process.env

const server = NodeHttpServer.layer(() => createServer({ requestTimeout: 0 }), { port: Number(PORT) })

const services = Layer.mergeAll(
  FilesStorage.layer({ directory: `${data}/objects` }),
  Layer.unwrap(Effect.map(Embedded.start({ dataDirectory: `${data}/postgres` }), Postgres.layerClient))
)

// SIGTERM ends open requests, and the collector finishes the batch in hand.
NodeRuntime.runMain(Layer.launch(Layer.provide(App.layer(server), services)))
