/**
 * Breakers. A mistake in the references (a table emptied, a foreign key dropped, the wrong database) or in the tags makes
 * much of a catalogue look like garbage at once. The breaker then keeps all of it until a person has looked. Marking
 * continues, so that there is a list to look at.
 *
 * A breaker is judged by all that a mistake would delete since a person last confirmed, not by one sweep's part: a scan
 * that takes many sweeps, or many collectors, would otherwise stay below any bound. An open breaker stays open for all
 * collectors, also when the number falls again.
 */
import { Clock, Effect } from "effect"
import {
  type BreakerName,
  type BreakerState,
  CollectorDatabase,
  type Exposure,
  isOpen
} from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { BreakerOpen } from "../domain/Refusals.ts"
import type { SweepSettings } from "./Settings.ts"

/** What a breaker judges, and how people are told of it. */
export interface Breaker<R = never> {
  readonly name: BreakerName
  /** Says in words how much would be deleted, e.g. `5 of 9 blobs are condemned`. */
  readonly describe: (exposure: Exposure) => string
  /** Where a person looks before confirming: a sentence. */
  readonly look: string
  /**
   * Counts what a phase that begins at `at` would delete, without what was so at `confirmedAt` or before. The totals may
   * be zero, unread, unless more than `unless` are counted. Absent where only a listing can count.
   */
  readonly exposure?: (
    settings: SweepSettings,
    confirmedAt: number | null,
    at: number,
    unless: number
  ) => Effect.Effect<Exposure, DatabaseError, R>
}

/** A breaker that is judged before the first deletion. */
export type CountingBreaker<R = never> = Breaker<R> & Required<Pick<Breaker<R>, "exposure">>

/** An exposure of nothing. */
export const nothing: Exposure = { blobs: 0, bytes: 0, totalBlobs: 0, totalBytes: 0 }

/** Returns `part`, with its share of `whole` where that is known, e.g. `4 (40.0 % of 10)`. */
export const shareOf = (part: number, whole: number): string =>
  whole === 0 ? `${part}` : `${part} (${((100 * part) / whole).toFixed(1)} % of ${whole})`

/** A percentage that nothing can exceed: nothing is judged. */
const off = 100

/** Returns whether this is more than a mistake may delete: both bounds must be exceeded. */
export const exceeds = (settings: SweepSettings, exposure: Exposure): boolean => {
  const { blobs, bytes, totalBlobs, totalBytes } = exposure
  const share = settings.breakerPercent / 100
  return (
    settings.breakerPercent < off &&
    blobs > settings.breakerBlobs &&
    (blobs > share * totalBlobs || bytes > share * totalBytes)
  )
}

/** Fails with `BreakerOpen` while a person has not confirmed. Returns the state of a closed breaker. */
export const requireClosed = Effect.fnUntraced(function* (breaker: Breaker<unknown>) {
  const { breakers } = yield* CollectorDatabase
  const state = yield* breakers.read(breaker.name)
  if (isOpen(state)) return yield* opened(breaker, state)
  return state
})

/**
 * Lets a phase delete, or opens the breaker and fails with `BreakerOpen`. Returns the instant of the judgement: what
 * becomes garbage after it has not been judged and must not be deleted on its strength.
 */
export const judge = Effect.fnUntraced(function* <R>(settings: SweepSettings, breaker: CountingBreaker<R>) {
  const judgedAt = yield* Clock.currentTimeMillis
  const { confirmedAt } = yield* requireClosed(breaker)
  if (settings.breakerPercent >= off) return judgedAt
  const exposure = yield* breaker.exposure(settings, confirmedAt, judgedAt, settings.breakerBlobs)
  if (!exceeds(settings, exposure)) return judgedAt
  return yield* trip(breaker, { confirmedAt, exposure, at: judgedAt })
})

/** Opens the breaker at `at` and fails with `BreakerOpen`. */
export const trip = Effect.fnUntraced(function* (
  breaker: Breaker<unknown>,
  { at, confirmedAt, exposure }: { at: number; confirmedAt: number | null; exposure: Exposure }
) {
  const { breakers } = yield* CollectorDatabase
  // After the confirmation also where this host's clock is behind the confirming host's, or it would not be open.
  const trippedAt = Math.max(at, (confirmedAt ?? 0) + 1)
  yield* breakers.trip(breaker.name, trippedAt, exposure)
  return yield* opened(breaker, { trippedAt, exposure })
})

/**
 * Judges for a dry run, which opens nothing. `expected` is what a sweep would have counted, where it would first have
 * marked more than stands in the database now.
 */
export const foresee = Effect.fnUntraced(function* <R>(
  settings: SweepSettings,
  breaker: CountingBreaker<R>,
  expected?: Pick<Exposure, "blobs" | "bytes">
) {
  const now = yield* Clock.currentTimeMillis
  const { confirmedAt } = yield* requireClosed(breaker)
  if (settings.breakerPercent >= off) return
  if (expected !== undefined && expected.blobs <= settings.breakerBlobs) return
  const always = -1
  const unless = expected === undefined ? settings.breakerBlobs : always
  const standing = yield* breaker.exposure(settings, confirmedAt, now, unless)
  const exposure = { ...standing, ...expected }
  if (exceeds(settings, exposure))
    return yield* opened(breaker, { trippedAt: now, exposure }, { foreseen: true })
})

/** Returns the error of a breaker that is open, or, `foreseen`, that a sweep would open now. */
export const opened = (
  { describe, look, name }: Breaker<unknown>,
  { exposure, trippedAt }: Pick<BreakerState, "trippedAt" | "exposure">,
  rest: { readonly foreseen?: true } = {}
): BreakerOpen =>
  new BreakerOpen({
    breaker: name,
    trippedAt: new Date(trippedAt ?? 0).toISOString(),
    found: describe(exposure ?? nothing),
    look,
    ...(exposure ?? nothing),
    ...rest
  })
