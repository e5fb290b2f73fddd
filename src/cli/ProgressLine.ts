/** One line on a terminal that says how far a sweep has come: rate, and the time left where the end is known. */
import { Clock, Effect, Layer } from "effect"
import { Progress, type ProgressEvent } from "../sweep/Progress.ts"
import * as Text from "./Text.ts"

/** Often enough to look alive, rarely enough to cost nothing. */
const everyMillis = 100

const line = (event: ProgressEvent, elapsedMillis: number): string => {
  const rate = elapsedMillis > 0 ? (event.deleted * 1000) / elapsedMillis : 0
  const remaining = event.expected === null ? 0 : event.expected - event.deleted
  const eta = rate > 0 && remaining > 0 ? ` · ${Text.span((remaining * 1000) / rate)} left` : ""
  const of = event.expected === null ? "" : ` of ${Text.count(event.expected)}`
  return `${event.phase}: ${Text.count(event.seen)} seen · ${Text.count(event.deleted)}${of} deleted · ${Text.bytes(event.bytes)} · ${Text.count(Math.round(rate))}/s${eta}`
}

/** Shows progress on stderr when that is a terminal; otherwise nobody watches. */
export const layer: Layer.Layer<never> = Layer.unwrap(
  Effect.sync(() => {
    const out = process.stderr
    if (!out.isTTY) return Layer.empty
    let shownAt = Number.NEGATIVE_INFINITY
    let began: { readonly phase: string; readonly at: number } | null = null
    const show = Effect.fnUntraced(function* (event: ProgressEvent) {
      const now = yield* Clock.currentTimeMillis
      if (began?.phase !== event.phase) began = { phase: event.phase, at: now }
      if (now - shownAt < everyMillis) return
      shownAt = now
      out.write(`\r\u001b[2K${line(event, now - began.at).slice(0, out.columns || undefined)}`)
    })
    const clear = Effect.addFinalizer(() => Effect.sync(() => out.write("\r\u001b[2K")))
    return Layer.merge(Layer.succeed(Progress, { watched: true, report: show }), Layer.effectDiscard(clear))
  })
)
