/**
 * The breakers of orphans and of untagged manifests. A mistake in the references (a table emptied, a foreign key dropped,
 * the wrong database) or in the tags makes much of a catalogue look like garbage at once. The breaker then keeps all of it
 * until a person has looked. Marking continues, so that there is a list to look at.
 *
 * The breaker of orphans counts all that stands condemned since a person last confirmed, not one sweep's part: a scan
 * that takes many sweeps, or many collectors, would otherwise stay below any bound. The breaker of manifests counts those
 * that have outlived their grace: a registry in ordinary use has as many untagged manifests as it had pushes in that
 * time. An open breaker stays open for all collectors, also when fewer stand condemned again.
 */
import { Clock, Effect } from "effect"
import { type BreakerName, Database, type Exposure, isOpen } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { BreakerOpen } from "../domain/Refusals.ts"
import type { SweepSettings } from "./Settings.ts"

/** Breakers that are judged by rows. The breaker of leftovers is judged by a listing. */
type Name = Exclude<BreakerName, "leftovers">

/** A breaker, and how much it stands before. */
export interface Judged<R = never> {
  readonly name: Name
  /**
   * Counts what would be deleted by a phase that begins at `at`, without what was so at `confirmedAt` or before. The
   * totals may be zero, unread, unless more than `unless` are counted.
   */
  readonly exposure: (
    confirmedAt: number | null,
    at: number,
    unless: number
  ) => Effect.Effect<Exposure, DatabaseError, R>
}

/** Judged by all that stands condemned: what waits out its quarantine is on its way. */
export const orphans: Judged<Database> = {
  name: "orphans",
  exposure: (confirmedAt, _at, unless) =>
    Effect.flatMap(Database, ({ breakers }) => breakers.exposure(confirmedAt, unless))
}

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
export const judge = Effect.fnUntraced(function* <R>(settings: SweepSettings, judged: Judged<R>) {
  const { breakers } = yield* Database
  const { name } = judged
  const judgedAt = yield* Clock.currentTimeMillis
  const { confirmedAt } = yield* hold(name)
  if (settings.breakerPercent >= off) return judgedAt
  const exposure = yield* judged.exposure(confirmedAt, judgedAt, settings.breakerBlobs)
  if (!exceeds(settings, exposure)) return judgedAt
  // After the confirmation also where this host's clock is behind that of whoever confirmed, or it would not be open.
  const trippedAt = Math.max(judgedAt, (confirmedAt ?? 0) + 1)
  yield* breakers.trip(name, trippedAt, exposure)
  return yield* errorOf(name, trippedAt, exposure)
})

/**
 * `judge` for a dry run, which opens nothing. `condemned` is what would stand condemned after a sweep, where the sweep
 * would condemn more.
 */
export const foresee = Effect.fnUntraced(function* <R>(
  settings: SweepSettings,
  judged: Judged<R>,
  condemned?: Pick<Exposure, "blobs" | "bytes">
) {
  const { name } = judged
  const now = yield* Clock.currentTimeMillis
  const { confirmedAt } = yield* hold(name)
  if (settings.breakerPercent >= off) return
  if (condemned !== undefined && condemned.blobs <= settings.breakerBlobs) return
  const always = -1
  const standing = yield* judged.exposure(
    confirmedAt,
    now,
    condemned === undefined ? settings.breakerBlobs : always
  )
  const exposure = { ...standing, ...condemned }
  if (!exceeds(settings, exposure)) return
  return yield* errorOf(name, now, exposure, { foreseen: true })
})

const nothing: Exposure = { blobs: 0, bytes: 0, totalBlobs: 0, totalBytes: 0 }

const errorOf = (
  breaker: Name,
  trippedAt: number,
  exposure: Exposure,
  rest: { readonly foreseen?: true } = {}
) => new BreakerOpen({ breaker, trippedAt: new Date(trippedAt).toISOString(), ...exposure, ...rest })
