/**
 * One line on a terminal with the progress of a sweep or an audit: rate, and the time left if the end is
 * known.
 */
import { Clock, Effect, Layer } from "effect"
import { AuditProgress, type AuditProgressEvent } from "../audit/Progress.ts"
import { Progress, type ProgressEvent } from "../sweep/Progress.ts"
import { IsQuiet } from "./Quiet.ts"
import { canRewrite, eraseLine } from "./Terminal.ts"
import * as Text from "./Text.ts"

/** Erases the line before a result is printed on the same terminal. The next progress shows it again. */
export const clear: Effect.Effect<void> = Effect.sync(() => {
  if (canRewrite(process.stderr, process.env)) process.stderr.write(eraseLine)
})

/** Minimum time between two updates: often enough to look alive, rarely enough to cost nothing. */
const everyMillis = 100

const line = (event: ProgressEvent, elapsedMillis: number): string => {
  const rate = elapsedMillis > 0 ? (event.deleted * 1000) / elapsedMillis : 0
  const remaining = event.expected === null ? 0 : event.expected - event.deleted
  const eta = rate > 0 && remaining > 0 ? ` · ${Text.span((remaining * 1000) / rate)} left` : ""
  const of = event.expected === null ? "" : ` of ${Text.count(event.expected)}`
  return `${event.phase}: ${Text.count(event.seen)} seen · ${Text.count(event.deleted)}${of} deleted · ${Text.bytes(event.bytes)} · ${Text.count(Math.round(rate))}/s${eta}`
}

const auditLine = (event: AuditProgressEvent, elapsedMillis: number): string => {
  const per = (n: number) => (elapsedMillis > 0 ? (n * 1000) / elapsedMillis : 0)
  const [rate, remaining] = [per(event.rows), (event.expectedRows ?? 0) - event.rows]
  const eta = rate > 0 && remaining > 0 ? ` · ${Text.span((remaining * 1000) / rate)} left` : ""
  const of = event.expectedRows === null ? "" : ` of about ${Text.count(event.expectedRows)}`
  const read = event.bytesRead === 0 ? "" : ` · ${Text.bytes(event.bytesRead)} read`
  const found =
    event.phase === "audit" ? Text.many(event.findings, "finding") : `${Text.count(event.findings)} journaled`
  return `${event.phase}: ${Text.many(event.objects, "object")} · ${Text.many(event.rows, "row")}${of} · ${found}${read} · ${Text.count(Math.round(per(Math.max(event.rows, event.objects))))}/s${eta}`
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
        out.write(`${eraseLine}${line(event, now - began.at).slice(0, out.columns || undefined)}`)
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
