/** `artifact-gc run`: the service that sweeps on a schedule. */
import { Clock, Duration, Effect, Layer } from "effect"
import { Command } from "effect/cli"
import type { Configuration } from "../config/Config.ts"
import { CollectorDatabase } from "../database/Database.ts"
import type { SweepReport } from "../domain/SweepReport.ts"
import { keepHeapSmall } from "../platform/heap.ts"
import { Storage } from "../storage/Storage.ts"
import * as Collector from "../sweep/Collector.ts"
import { dueAfter } from "../sweep/When.ts"
import * as Window from "../sweep/Window.ts"
import { configuration, runFlags, withServices } from "./Configured.ts"
import { operated } from "./Operations.ts"
import * as Print from "./Print.ts"
import { graceful, SignalExit } from "./Shutdown.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

/** Defines the command `artifact-gc run`. */
export const command = Command.make(
  "run",
  { json: jsonFlag, ...runFlags },
  Effect.fnUntraced(function* ({ json, ...given }) {
    const config = yield* configuration(given)
    yield* Effect.sync(keepHeapSmall)
    yield* withServices(config, service(config, json), { joins: false })
  })
).pipe(
  Command.withDescription(
    "Collect garbage on a schedule until stopped. SIGTERM finishes the current batch and exits 0"
  ),
  Command.withShortDescription("Collect garbage on a schedule"),
  Command.withExamples([
    {
      command: "DATABASE_URL=postgres://… S3_BUCKET=artifacts artifact-gc run",
      description: "Sweep every hour"
    },
    {
      command: "artifact-gc run --gc-cron='30 2 * * *' --gc-time-zone=Europe/Berlin",
      description: "Sweep each night"
    }
  ])
)

/**
 * Sweeps on the schedule until a signal. Refuses to start on a store or a catalogue that it cannot work with.
 */
export const service = Effect.fnUntraced(function* (config: Configuration, json: boolean) {
  const exit = yield* SignalExit
  exit.code = 0
  yield* Effect.logInfo(yield* inspected)
  yield* operated(
    config,
    graceful(config.shutdownDeadline, (stop) => collecting(config, stop, { json }))
  )
})

/** Checks store and catalogue, and returns in words what is collected. Fails if they cannot be collected. */
export const inspected = Effect.gen(function* () {
  const database = yield* CollectorDatabase
  const storage = yield* Storage
  yield* storage.probe
  const references = yield* database.inspect
  return `Collecting from ${database.description} and ${storage.description}. Blobs referenced by these columns are kept: ${references.map((r) => `${r.table}.${r.column}`).join(", ")}.`
})

interface LogOptions {
  readonly json: boolean
  /** Whether to omit sweeps that found nothing to do, and the time of the next sweep. */
  readonly quiet?: boolean
}

/** How often a service that waits looks whether its schedule was changed: an operator notices within a minute. */
const lookEvery = Duration.minutes(1)

/** Sweeps on the schedule until `stop` completes and the current batch is finished. */
export const collecting = Effect.fnUntraced(function* (
  config: Configuration,
  stop: Effect.Effect<void>,
  { json, quiet = false }: LogOptions
) {
  const { jitter, shutdownDeadline, when, window } = config
  const now = yield* Clock.currentTimeMillis
  const isShut = window !== undefined && Window.opensIn(window, now) > 0
  if (when._tag === "cron" || isShut) yield* announceNext(config, isShut)
  const collector = Collector.layer({
    ...(when._tag === "interval" ? { every: when.interval } : { cron: when.cron }),
    jitter,
    window,
    zone: config.zone,
    lookEvery,
    deadline: shutdownDeadline,
    onReport: Effect.fnUntraced(function* (report) {
      if (!quiet || hasNews(report)) yield* log(report)
      if (json) yield* Print.json(report)
      const stopping = yield* Effect.raceFirst(Effect.as(stop, true), Effect.succeed(false))
      if (!stopping && !quiet) yield* announceNext(config)
    })
  })
  // The settings were checked as those of the environment.
  yield* Effect.scoped(Effect.andThen(Effect.orDie(Layer.build(collector)), stop))
})

const hasNews = (report: SweepReport): boolean =>
  report.outcome !== "complete" || report.totals.eligible > 0 || Text.findingsOf(report).length > 0

/** Logs a line per sweep, and what waits. Its annotations hold the whole report, which the JSON log prints. */
const log = (report: SweepReport) => {
  const { totals, outcome } = report
  const text = `Sweep ${outcome}: ${Text.many(totals.deleted, "object")} deleted, ${Text.bytes(totals.bytes)}, ${Text.count(totals.failed)} failed, in ${Text.span(report.durationMillis)}`
  const level = outcome === "complete" || outcome === "bounded" ? Effect.logInfo : Effect.logError
  const findings = Text.findingsOf(report).map(({ message }) => message)
  const [docs] = Text.docsOf(report)
  const lines = [`${text}.`, ...Text.waiting(report), ...findings, ...notDeleted(report)]
  return Effect.andThen(
    Effect.annotateLogs(level(lines.join("\n")), { report, ...(docs === undefined ? {} : { docs }) }),
    Effect.logDebug(Text.report(report))
  )
}

/** Says why keys could not be deleted, and that they are not lost. */
const notDeleted = ({ phases }: SweepReport): ReadonlyArray<string> => {
  const reasons = [
    ...new Set(
      Object.values(phases).flatMap(({ failed }) => Object.keys(failed).filter((name) => failed[name] !== 0))
    )
  ]
  return reasons.length === 0
    ? []
    : [
        `Keys could not be deleted (${reasons.join(", ")}). Later sweeps try them again. Those that were given up on: artifact-gc journal`
      ]
}

const announceNext = Effect.fnUntraced(function* ({ jitter, when, window }: Configuration, atOnce = false) {
  const now = yield* Clock.currentTimeMillis
  const due = dueAfter(when, now, atOnce)
  const at = new Date(due + (window === undefined ? 0 : Window.opensIn(window, due)))
  const later = Duration.isZero(jitter) ? "" : `, up to ${Text.span(Duration.toMillis(jitter))} later`
  yield* Effect.logInfo(`Next sweep at ${at.toISOString()} (in ${Text.span(at.getTime() - now)}${later}).`)
})
