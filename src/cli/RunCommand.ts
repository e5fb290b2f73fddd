/** `artifact-gc run`: the service. */
import { Clock, Console, Cron, Duration, Effect, Stream } from "effect"
import { Command } from "effect/cli"
import type { Configuration } from "../config/Config.ts"
import { CollectorDatabase } from "../database/Database.ts"
import type { SweepReport } from "../domain/SweepReport.ts"
import { keepHeapSmall } from "../platform/heap.ts"
import { Storage } from "../storage/Storage.ts"
import { reports, type When } from "../sweep/Collector.ts"
import * as Window from "../sweep/Window.ts"
import { configuration, sweepFlags, withServices } from "./Configured.ts"
import { graceful, SignalExit } from "./Shutdown.ts"
import { jsonFlag } from "./SweepCommand.ts"
import * as Text from "./Text.ts"

export const command = Command.make(
  "run",
  { json: jsonFlag, ...sweepFlags },
  Effect.fnUntraced(function* ({ json, ...given }) {
    const config = yield* configuration(given)
    yield* Effect.sync(keepHeapSmall)
    yield* withServices(config, service(config, json))
  })
).pipe(
  Command.withDescription(
    "Collect garbage on a schedule until stopped; SIGTERM finishes the batch in hand and exits 0"
  )
)

/** Sweeps until a signal comes. Refuses to start on a store or a catalogue it cannot work with. */
export const service = Effect.fnUntraced(function* (config: Configuration, json: boolean) {
  const exit = yield* SignalExit
  exit.code = 0
  yield* Effect.logInfo(yield* inspected)
  yield* graceful(config.shutdownDeadline, (stop) => collecting(config, stop, { json }))
})

/** Store and catalogue, found fit to be collected; in words. */
export const inspected = Effect.gen(function* () {
  const database = yield* CollectorDatabase
  const storage = yield* Storage
  yield* storage.probe
  const references = yield* database.inspect
  return `Collecting from ${database.description} and ${storage.description}. Blobs are kept by ${references.map((r) => `${r.table}.${r.column}`).join(", ")}.`
})

interface Saying {
  readonly json: boolean
  /** Whether a sweep that found nothing to do, and the time of the next, go unsaid. */
  readonly quiet?: boolean
}

/** Sweeps on the schedule until `stop` completes and the batch in hand is finished. */
export const collecting = Effect.fnUntraced(function* (
  { when, jitter, window }: Configuration,
  stop: Effect.Effect<void>,
  { json, quiet = false }: Saying
) {
  const now = yield* Clock.currentTimeMillis
  const isShut = window !== undefined && Window.opensIn(window, now) > 0
  if (when._tag === "cron" || isShut) yield* announceNext(when, jitter, window, isShut)
  yield* reports({ when, jitter, stop, window }).pipe(
    Stream.runForEach((report) =>
      Effect.gen(function* () {
        if (!quiet || hasNews(report)) yield* log(report)
        if (json) yield* Console.log(JSON.stringify(report))
        const stopping = yield* Effect.raceFirst(Effect.as(stop, true), Effect.succeed(false))
        if (!stopping && !quiet) yield* announceNext(when, jitter, window)
      })
    )
  )
})

const hasNews = (report: SweepReport): boolean =>
  report.outcome !== "complete" || report.totals.eligible > 0 || Text.findingsOf(report).length > 0

/** One line a sweep; the whole report in its annotations, where machines look. */
const log = (report: SweepReport) => {
  const { totals, outcome } = report
  const text = `Sweep ${outcome}: ${Text.many(totals.deleted, "object")} deleted, ${Text.bytes(totals.bytes)}, ${Text.count(totals.failed)} failed, in ${Text.span(report.durationMillis)}`
  const level = outcome === "complete" || outcome === "bounded" ? Effect.logInfo : Effect.logError
  const findings = Text.findingsOf(report).map(({ message }) => message)
  return Effect.annotateLogs(level([text, ...findings].join("\n")), { report })
}

const announceNext = Effect.fnUntraced(function* (
  when: When,
  jitter: Duration.Duration,
  window: Window.Window | undefined,
  atOnce = false
) {
  const now = yield* Clock.currentTimeMillis
  const due =
    when._tag === "interval"
      ? now + (atOnce ? 0 : Duration.toMillis(when.interval))
      : Cron.next(when.cron, new Date(now)).getTime()
  const at = new Date(due + (window === undefined ? 0 : Window.opensIn(window, due)))
  const later = Duration.isZero(jitter) ? "" : `, up to ${Text.span(Duration.toMillis(jitter))} later`
  yield* Effect.logInfo(`Next sweep at ${at.toISOString()} (in ${Text.span(at.getTime() - now)}${later}).`)
})
