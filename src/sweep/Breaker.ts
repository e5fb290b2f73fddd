/**
 * The breaker of the orphans: a mistake in the references (a table emptied, a foreign key dropped, the wrong database)
 * makes much of a catalogue look like garbage at once. Then nothing is purged until a person has looked; marking goes
 * on, so that there is a list to look at.
 *
 * It is judged by all that stands condemned since a person last confirmed, not by one sweep's part of it: a scan that
 * takes many sweeps, or many collectors, would otherwise stay below any bound. It stays open for all collectors, also
 * when fewer stand condemned again.
 */
import { Clock, Effect } from "effect"
import { type BreakerState, Database, type Exposure, isOpen } from "../database/Database.ts"
import { BreakerOpen } from "../domain/Refusals.ts"
import type { SweepSettings } from "./Settings.ts"

const name = "orphans"

/** A percentage that nothing can exceed: nothing is judged. */
const off = 100

/** Whether this is more than a mistake may take. */
export const exceeds = (settings: SweepSettings, exposure: Exposure): boolean => {
  const { blobs, bytes, totalBlobs, totalBytes } = exposure
  const share = settings.breakerPercent / 100
  return (
    settings.breakerPercent < off &&
    blobs > settings.breakerBlobs &&
    (blobs > share * totalBlobs || bytes > share * totalBytes)
  )
}

/** Fails with `BreakerOpen` while a person has not confirmed. */
export const hold = Effect.gen(function* () {
  const { breakers } = yield* Database
  const state = yield* breakers.read(name)
  if (isOpen(state)) return yield* opened(state)
  return state
})

/**
 * Lets a purge begin, or opens the breaker and fails with `BreakerOpen`. Answers the instant of the judgement: what is
 * condemned after it has not been judged and must not be purged on its strength.
 */
export const judge = Effect.fnUntraced(function* (settings: SweepSettings) {
  const { breakers } = yield* Database
  const judgedAt = yield* Clock.currentTimeMillis
  const { confirmedAt } = yield* hold
  if (settings.breakerPercent >= off) return judgedAt
  const exposure = yield* breakers.exposure(confirmedAt, settings.breakerBlobs)
  if (!exceeds(settings, exposure)) return judgedAt
  // After the confirmation also where this host's clock is behind that of whoever confirmed, or it would not be open.
  const trippedAt = Math.max(judgedAt, (confirmedAt ?? 0) + 1)
  yield* breakers.trip(name, trippedAt, exposure)
  return yield* errorOf(trippedAt, exposure)
})

/** `judge` for a dry run, which opens nothing: `condemned` is what would stand condemned after a sweep. */
export const foresee = Effect.fnUntraced(function* (
  settings: SweepSettings,
  condemned: Pick<Exposure, "blobs" | "bytes">
) {
  const { breakers } = yield* Database
  const { confirmedAt } = yield* hold
  if (settings.breakerPercent >= off || condemned.blobs <= settings.breakerBlobs) return
  const always = -1
  const { totalBlobs, totalBytes } = yield* breakers.exposure(confirmedAt, always)
  const exposure = { ...condemned, totalBlobs, totalBytes }
  if (!exceeds(settings, exposure)) return
  return yield* errorOf(yield* Clock.currentTimeMillis, exposure, { foreseen: true })
})

const nothing: Exposure = { blobs: 0, bytes: 0, totalBlobs: 0, totalBytes: 0 }

const opened = ({ exposure, trippedAt }: BreakerState): BreakerOpen =>
  errorOf(trippedAt ?? 0, exposure ?? nothing)

const errorOf = (trippedAt: number, exposure: Exposure, rest: { readonly foreseen?: true } = {}) =>
  new BreakerOpen({ breaker: name, trippedAt: new Date(trippedAt).toISOString(), ...exposure, ...rest })
