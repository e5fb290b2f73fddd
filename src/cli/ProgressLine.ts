/**
 * One line on a terminal with the progress of a sweep, an audit or a migration: rate, and the time left if the end is
 * known.
 */
import { Clock, Effect, Layer } from "effect"
import { AuditProgress, type AuditProgressEvent } from "../audit/Progress.ts"
import { type MigrationEvent, MigrationProgress } from "../database/postgres/schema/MigrationProgress.ts"
import { Progress, type ProgressEvent } from "../sweep/Progress.ts"
import { IsQuiet } from "./Quiet.ts"
import { canRewrite, eraseLine } from "./Terminal.ts"
import * as Text from "./Text.ts"

/** Minimum time between two updates: often enough to look alive, rarely enough to cost nothing. */
const everyMillis = 100

const perSecond = (n: number, elapsedMillis: number): number =>
  elapsedMillis > 0 ? (n * 1000) / elapsedMillis : 0

/** Returns a rate as text; empty for none. */
const speedOf = (rate: number, of = ""): string =>
  rate < 0.05 ? "" : ` · ${rate < 10 ? rate.toFixed(1) : Text.count(Math.round(rate))}${of}/s`

/** Returns the time left as text; empty where the rate or the end is not known. */
const left = (remaining: number, rate: number): string =>
  rate > 0 && remaining > 0 ? ` · ${Text.span((remaining * 1000) / rate)} left` : ""

/** Returns the progress of a sweep as a line. */
export const line = (event: ProgressEvent, elapsedMillis: number): string => {
  const rate = perSecond(event.deleted, elapsedMillis)
  const speed = event.deleted === 0 ? speedOf(perSecond(event.seen, elapsedMillis), " seen") : speedOf(rate)
  const of = event.expected === null ? "" : ` of ${Text.count(event.expected)}`
  const eta = left((event.expected ?? 0) - event.deleted, rate)
  return `${event.phase}: ${Text.count(event.seen)} seen · ${Text.count(event.deleted)}${of} deleted · ${Text.bytes(event.bytes)}${speed}${eta}`
}

/** Returns the progress of an audit as a line. */
export const auditLine = (event: AuditProgressEvent, elapsedMillis: number): string => {
  const eta = left((event.expectedRows ?? 0) - event.rows, perSecond(event.rows, elapsedMillis))
  const rate = perSecond(Math.max(event.rows, event.objects), elapsedMillis)
  const of = event.expectedRows === null ? "" : ` of about ${Text.count(event.expectedRows)}`
  const read = event.bytesRead === 0 ? "" : ` · ${Text.bytes(event.bytesRead)} read`
  const found =
    event.phase === "audit" ? Text.many(event.findings, "finding") : `${Text.count(event.findings)} journaled`
  return `${event.phase}: ${Text.many(event.objects, "object")} · ${Text.many(event.rows, "row")}${of} · ${found}${read}${speedOf(rate)}${eta}`
}

/** Migrations that another program runs, and locks, are waited for before the first one. */
const waitingForLocks = { phase: "migrate", event: null }

interface MigrationStep {
  readonly phase: string
  readonly event: MigrationEvent | null
  /** Migrations of the set that earlier runs applied. */
  readonly before?: number
}

/** Returns the progress of migrations as a line. */
export const migrationLine = ({ before = 0, event }: MigrationStep, elapsedMillis: number): string => {
  if (event === null) return `migrate: waiting for the database · ${Text.span(elapsedMillis)}`
  const { done, expected, name, set } = event
  const rate = perSecond(done - before, elapsedMillis)
  return `migrate ${set}: ${name} · ${Text.count(done + 1)} of ${Text.count(expected)} · ${Text.span(elapsedMillis)}${speedOf(rate)}${left(expected - done, rate)}`
}

/** Watches progress only if stderr is a terminal. */
const onTerminal = <Event extends { readonly phase: string }>(
  line: (event: Event, elapsedMillis: number) => string,
  watching: (report: (event: Event) => Effect.Effect<void>) => Layer.Layer<never>
): Layer.Layer<never> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const out = process.stderr
      if ((yield* IsQuiet) || !canRewrite(out, process.env)) return Layer.empty
      let shownAt = Number.NEGATIVE_INFINITY
      let began: { readonly phase: string; readonly at: number } | null = null
      const show = Effect.fnUntraced(function* (event: Event) {
        const now = yield* Clock.currentTimeMillis
        if (began?.phase !== event.phase) began = { phase: event.phase, at: now }
        if (now - shownAt < everyMillis) return
        shownAt = now
        out.write(`${eraseLine}${line(event, now - began.at).slice(0, (out.columns || 81) - 1)}`)
      })
      const atEnd = Effect.addFinalizer(() => Effect.sync(() => out.write(eraseLine)))
      return Layer.merge(watching(show), Layer.effectDiscard(atEnd))
    })
  )

/** Shows the progress of a sweep on stderr. */
export const layer: Layer.Layer<never> = onTerminal(line, (report) =>
  Layer.succeed(Progress, { watched: true, report })
)

/** Shows the progress of an audit on stderr. */
export const auditLayer: Layer.Layer<never> = onTerminal(auditLine, (report) =>
  Layer.succeed(AuditProgress, { watched: true, report })
)

/** Shows the progress of `migrate` on stderr, and also that it waits. */
export const migrationLayer: Layer.Layer<never> = onTerminal(migrationLine, (show) => {
  let now: MigrationStep = waitingForLocks
  const report = (event: MigrationEvent) =>
    Effect.suspend(() => {
      const isFirst = now.phase !== event.set
      now = { phase: event.set, event, before: isFirst ? event.done : (now.before ?? 0) }
      return show(now)
    })
  const ticking = Effect.sleep(1000).pipe(Effect.andThen(Effect.suspend(() => show(now))), Effect.forever)
  return Layer.merge(
    Layer.succeed(MigrationProgress, { report }),
    Layer.effectDiscard(Effect.forkScoped(ticking))
  )
})
