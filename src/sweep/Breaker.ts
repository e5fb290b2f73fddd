/**
 * The breakers of orphans and of untagged manifests: a mistake in the references (a table emptied, a foreign key dropped,
 * the wrong database) or in the tags makes much of a catalogue look like garbage at once. Then nothing of it goes until a
 * person has looked; marking goes on, so that there is a list to look at.
 *
 * They are judged by all that stands condemned, or untagged, since a person last confirmed, not by one sweep's part of
 * it: a scan that takes many sweeps, or many collectors, would otherwise stay below any bound. One stays open for all
 * collectors, also when fewer stand condemned again.
 */
import { Clock, Effect } from "effect"
import { type BreakerName, Database, type Exposure, isOpen } from "../database/Database.ts"
import { BreakerOpen } from "../domain/Refusals.ts"
import type { SweepSettings } from "./Settings.ts"

/** Those that are judged by what stands condemned or untagged; that of leftovers is judged by a listing. */
type Name = Exclude<BreakerName, "leftovers">

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
export const hold = Effect.fnUntraced(function* (name: Name) {
  const { breakers } = yield* Database
  const state = yield* breakers.read(name)
  if (isOpen(state)) return yield* errorOf(name, state.trippedAt ?? 0, state.exposure ?? nothing)
  return state
})

/**
 * Lets a purge begin, or opens the breaker and fails with `BreakerOpen`. Answers the instant of the judgement: what is
 * condemned or untagged after it has not been judged and must not go on its strength.
 */
export const judge = Effect.fnUntraced(function* (settings: SweepSettings, name: Name) {
  const { breakers } = yield* Database
  const judgedAt = yield* Clock.currentTimeMillis
  const { confirmedAt } = yield* hold(name)
  if (settings.breakerPercent >= off) return judgedAt
  const exposure = yield* exposureOf(name, confirmedAt, settings.breakerBlobs)
  if (!exceeds(settings, exposure)) return judgedAt
  // After the confirmation also where this host's clock is behind that of whoever confirmed, or it would not be open.
  const trippedAt = Math.max(judgedAt, (confirmedAt ?? 0) + 1)
  yield* breakers.trip(name, trippedAt, exposure)
  return yield* errorOf(name, trippedAt, exposure)
})

/**
 * `judge` for a dry run, which opens nothing: `condemned` is what would stand condemned after a sweep. What stands
 * untagged now is what would stand untagged then.
 */
export const foresee = Effect.fnUntraced(function* (
  settings: SweepSettings,
  name: Name,
  condemned?: Pick<Exposure, "blobs" | "bytes">
) {
  const { confirmedAt } = yield* hold(name)
  if (settings.breakerPercent >= off) return
  if (condemned !== undefined && condemned.blobs <= settings.breakerBlobs) return
  const always = -1
  const standing = yield* exposureOf(
    name,
    confirmedAt,
    condemned === undefined ? settings.breakerBlobs : always
  )
  const exposure = { ...standing, ...condemned }
  if (!exceeds(settings, exposure)) return
  return yield* errorOf(name, yield* Clock.currentTimeMillis, exposure, { foreseen: true })
})

/** What stands condemned or untagged since `since`. Of manifests the bytes are not counted: others may need them too. */
export const exposureOf = Effect.fnUntraced(function* (name: Name, since: number | null, unless: number) {
  const { breakers, manifests } = yield* Database
  if (name === "orphans") return yield* breakers.exposure(since, unless)
  const { total, untagged } = yield* manifests.exposure(since, unless)
  return { ...nothing, blobs: untagged, totalBlobs: total } satisfies Exposure
})

const nothing: Exposure = { blobs: 0, bytes: 0, totalBlobs: 0, totalBytes: 0 }

const errorOf = (
  breaker: Name,
  trippedAt: number,
  exposure: Exposure,
  rest: { readonly foreseen?: true } = {}
) => new BreakerOpen({ breaker, trippedAt: new Date(trippedAt).toISOString(), ...exposure, ...rest })
