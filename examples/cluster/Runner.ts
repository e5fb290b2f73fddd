/**
 * A runner of a cluster. Runners share their state in the app's own PostgreSQL, and one of them collects: as a singleton,
 * which runs the collector with its own schedule, or as a cron job, which sweeps at the times of an expression.
 */
import * as NodeClusterSocket from "@effect/platform-node/NodeClusterSocket"
import { Collector, FilesStorage, Postgres, Sweep } from "artifact-gc"
import { Console, Cron, Effect, Layer, Option } from "effect"
import { ClusterCron, RunnerAddress, type ShardingConfig, Singleton } from "effect/cluster"

/** How a runner takes its part. */
export interface RunnerOptions {
  /** The port at which the other runners reach this one. Each runner has its own. */
  readonly port: number
  /** Where the objects are, for all runners. */
  readonly objects: string
  /** Who sweeps: one collector that moves when its runner ends, or a job that is run once at each time. */
  readonly as: "singleton" | "cron"
  /** Shorter times than the cluster's own, so that a demonstration does not take minutes. */
  readonly sharding?: Partial<ShardingConfig.ShardingConfig["Service"]>
}

/** The collector, for as long as this runner owns it. Its end finishes the batch in hand and leaves. */
const singleton = Singleton.make(
  "artifact-gc",
  Effect.gen(function* () {
    yield* Console.log("owner")
    yield* Layer.build(
      Collector.layer({
        every: "1 second",
        jitter: 0,
        onReport: ({ outcome, sweep }) => Console.log(`swept ${sweep} ${outcome}`)
      }).pipe(Layer.provide(Sweep.Sweep.layer()))
    )
    return yield* Effect.never
  }).pipe(Effect.scoped)
)

/** A sweep at each time, on whichever runner the job falls. All of them hold `Sweep`. */
const cron = ClusterCron.make({
  name: "artifact-gc",
  cron: Cron.parseUnsafe("*/2 * * * * *", "UTC"),
  execute: Effect.gen(function* () {
    const sweep = yield* Sweep.Sweep
    const report = yield* sweep.once()
    yield* Console.log(`swept ${report.sweep} ${report.outcome}`)
  }),
  // A time that was missed needs no sweep of its own: the next one does its work.
  skipIfOlderThan: "1 minute"
}).pipe(Layer.provide(Sweep.Sweep.layer()))

/** Runs until its scope closes. Requires the app's `SqlClient`. */
export const layer = ({ as, objects, port, sharding }: RunnerOptions) => {
  const address = Option.some(RunnerAddress.make("127.0.0.1", port))
  const cluster = NodeClusterSocket.layer({
    storage: "sql",
    shardingConfig: { runnerAddress: address, runnerListenAddress: address, ...sharding }
  })
  const stores = Layer.merge(Postgres.layer(), FilesStorage.layer({ directory: objects }))
  return (as === "singleton" ? singleton : cron).pipe(Layer.provide(stores), Layer.provide(cluster))
}
