/**
 * One runner. Start three of them with different ports, then end one that owns the collector.
 *
 * PGHOST, PGPORT, PGUSER and PGDATABASE name the server, OBJECTS the directory of the objects, and RUNNER_PORT the port.
 * RUN_AS is `singleton` or `cron`. FAST=1 takes shorter times than the cluster's own.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Postgres } from "artifact-gc"
import { Layer } from "effect"
import * as Runner from "./Runner.ts"

const { FAST, OBJECTS = "objects", PGDATABASE = "postgres", PGHOST = "/tmp", PGPORT = "5432" } = process.env
const { PGUSER = "postgres", RUN_AS, RUNNER_PORT = "34431" } = process.env

const client = Postgres.layerClient({
  socketDirectory: PGHOST,
  port: Number(PGPORT),
  user: PGUSER,
  database: PGDATABASE
})

const runner = Runner.layer({
  port: Number(RUNNER_PORT),
  objects: OBJECTS,
  as: RUN_AS === "cron" ? "cron" : "singleton",
  ...(FAST === "1" && {
    sharding: {
      runnerHealthCheckInterval: "1 second",
      refreshAssignmentsInterval: "500 millis",
      shardLockRefreshInterval: "1 second",
      shardLockExpiration: "5 seconds",
      entityMessagePollInterval: "1 second"
    }
  })
})

NodeRuntime.runMain(Layer.launch(Layer.provide(runner, client)))
