/**
 * Breakers. A mistake in the references (a table emptied, a foreign key dropped, the wrong database) or in the tags makes
 * much of a catalogue look like garbage at once. The breaker then keeps all of it until a person has looked. Marking
 * continues, so that there is a list to look at.
 *
 * A breaker judges what is about to be deleted, since a person last confirmed. One sweep's part is no measure: a scan
 * that takes many sweeps, or many collectors, would stay below any bound. So all that is due within a day counts, and
 * Usual.ts adds up a month. What cannot be such a mistake counts apart (`OrphanCause`, `UntaggedBy`). An open breaker
 * stays open for all collectors, also when the number falls again. It stops its own phase and no other.
 */
import { Clock, Effect } from "effect"
import {
  type BreakerDay,
  type BreakerName,
  type BreakerState,
  CollectorDatabase,
  type Exposure,
  historyMillis,
  isOpen
} from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import { BreakerOpen } from "../domain/Refusals.ts"
import type { SweepSettings } from "./Settings.ts"
import * as SweepMetrics from "./SweepMetrics.ts"
import * as Usual from "./Usual.ts"

/** What a breaker judges, and how people are told of it. */
export interface Breaker<R = never> {
  /** Names it in `breaker --confirm`, in reports and in the database. */
  readonly name: BreakerName
  /** Says in words how much would be deleted, e.g. `5 of 9 blobs are condemned`. */
  readonly describe: (exposure: Exposure) => string
  /** Where a person looks before confirming: a sentence. */
  readonly look: string
  /** Others may need the same bytes: they count for a burst, and not for a loss in parts. Default false. */
  readonly sharesBytes?: boolean
  /** The loss of everything trips it from more than so many on, below GC_BREAKER_BLOBS. Default: never. */
  readonly emptiedFrom?: number
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

/** Returns whether this is more than a mistake may delete: both bounds must be exceeded, or everything would be lost. */
export const exceeds = (
  settings: SweepSettings,
  exposure: Exposure,
  { emptiedFrom }: Pick<Breaker, "emptiedFrom"> = {}
): boolean => {
  const { blobs, bytes, totalBlobs, totalBytes } = exposure
  const share = settings.breakerPercent / 100
  const isEmptied = emptiedFrom !== undefined && blobs > emptiedFrom && blobs === totalBlobs
  return (
    settings.breakerPercent < off &&
    (isEmptied ||
      (blobs > settings.breakerBlobs && (blobs > share * totalBlobs || bytes > share * totalBytes)))
  )
}

const historyOf = (name: BreakerName, at: number) =>
  Effect.flatMap(CollectorDatabase, ({ breakers }) => breakers.history(name, at - historyMillis))

/** Fails with `BreakerOpen` while a person has not confirmed. Returns the state of a closed breaker. */
export const requireClosed = Effect.fnUntraced(function* (breaker: Breaker<unknown>) {
  const { breakers } = yield* CollectorDatabase
  const state = yield* breakers.read(breaker.name)
  yield* SweepMetrics.breaker(breaker.name, isOpen(state))
  if (isOpen(state)) return yield* held(breaker, state)
  return state
})

/** Fails with the error of a breaker that is open, and says what is usual. */
const held = Effect.fnUntraced(function* (breaker: Breaker<unknown>, state: BreakerState) {
  const history = yield* historyOf(breaker.name, yield* Clock.currentTimeMillis)
  const usual = Usual.describe(history, state.confirmedAt, state.exposure ?? nothing)
  return yield* opened(breaker, state, { usual })
})

/** What a breaker makes of an exposure. */
interface Verdict {
  readonly exposure: Exposure
  readonly trips: boolean
  /** Exceeds the bounds and is usual. */
  readonly isBurst: boolean
  readonly history: ReadonlyArray<BreakerDay>
}

/** Compares an exposure with the bounds and with what is usual. Asks for nothing more where nothing would be deleted. */
const weigh = Effect.fnUntraced(function* <R>(
  settings: SweepSettings,
  breaker: CountingBreaker<R>,
  confirmedAt: number | null,
  at: number,
  expected?: Pick<Exposure, "blobs" | "bytes">
) {
  const read = (unless: number) =>
    Effect.map(breaker.exposure(settings, confirmedAt, at, unless), (found) => ({ ...found, ...expected }))
  const first =
    expected === undefined
      ? yield* read(settings.breakerBlobs)
      : expected.blobs > settings.breakerBlobs
        ? yield* read(always)
        : { ...nothing, ...expected }
  const calm: Verdict = { exposure: first, trips: false, isBurst: false, history: [] }
  if (first.blobs === 0) return calm
  const history = yield* historyOf(breaker.name, at)
  const isRead = first.totalBlobs > 0
  const mustRead = !isRead && Usual.mayHaveShrunk(settings, history, confirmedAt, at, first)
  const exposure = mustRead ? yield* read(always) : first
  const isBurst = exceeds(settings, exposure, breaker)
  const trips =
    (isBurst && !Usual.isUsual(history, at, exposure)) ||
    Usual.hasShrunk(settings, history, confirmedAt, exposure)
  return { exposure, trips, isBurst, history } satisfies Verdict as Verdict
})

/** No number of blobs is below it, so that the totals are read. */
const always = -1

/**
 * Lets a phase delete, or opens the breaker and fails with `BreakerOpen`. Returns the instant of the judgement: what
 * becomes garbage after it has not been judged and must not be deleted on its strength.
 */
export const judge = Effect.fnUntraced(function* <R>(settings: SweepSettings, breaker: CountingBreaker<R>) {
  const { breakers } = yield* CollectorDatabase
  const judgedAt = yield* Clock.currentTimeMillis
  const { confirmedAt } = yield* requireClosed(breaker)
  if (settings.breakerPercent >= off) return { judgedAt, exposure: nothing }
  const { exposure, history, isBurst, trips } = yield* weigh(settings, breaker, confirmedAt, judgedAt)
  if (trips) {
    const usual = Usual.describe(history, confirmedAt, exposure)
    return yield* trip(breaker, { confirmedAt, exposure, at: judgedAt }, { usual })
  }
  if (exposure.totalBlobs > 0) {
    const bytes = breaker.sharesBytes === true ? 0 : exposure.totalBytes
    const total = { blobs: exposure.totalBlobs, bytes }
    yield* breakers.note(breaker.name, judgedAt, { total, burst: isBurst ? exposure : null })
  }
  return { judgedAt, exposure }
})

/** Notes what was deleted, for the sum of a month. */
export const noteLoss = (breaker: Breaker<unknown>, lost: Pick<Exposure, "blobs" | "bytes">) =>
  lost.blobs > 0 ? noteLost(breaker, lost) : Effect.void

const noteLost = Effect.fnUntraced(function* (
  breaker: Breaker<unknown>,
  lost: Pick<Exposure, "blobs" | "bytes">
) {
  const { breakers } = yield* CollectorDatabase
  yield* breakers.note(breaker.name, yield* Clock.currentTimeMillis, { lost })
})

/** Opens the breaker at `at` and fails with `BreakerOpen`. */
export const trip = Effect.fnUntraced(function* (
  breaker: Breaker<unknown>,
  { at, confirmedAt, exposure }: { at: number; confirmedAt: number | null; exposure: Exposure },
  rest: { readonly usual?: string } = {}
) {
  const { breakers } = yield* CollectorDatabase
  // After the confirmation also where this host's clock is behind the confirming host's, or it would not be open.
  const trippedAt = Math.max(at, (confirmedAt ?? 0) + 1)
  yield* breakers.trip(breaker.name, trippedAt, exposure)
  yield* SweepMetrics.breaker(breaker.name, true)
  return yield* opened(breaker, { trippedAt, exposure }, rest)
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
  const { exposure, history, trips } = yield* weigh(settings, breaker, confirmedAt, now, expected)
  if (!trips) return
  const usual = Usual.describe(history, confirmedAt, exposure)
  return yield* opened(breaker, { trippedAt: now, exposure }, { foreseen: true, usual })
})

/** Returns the error of a breaker that is open, or, `foreseen`, that a sweep would open now. */
export const opened = (
  { describe, look, name }: Breaker<unknown>,
  { exposure, trippedAt }: Pick<BreakerState, "trippedAt" | "exposure">,
  rest: { readonly foreseen?: true; readonly usual?: string } = {}
): BreakerOpen =>
  new BreakerOpen({
    breaker: name,
    trippedAt: new Date(trippedAt ?? 0).toISOString(),
    found: describe(exposure ?? nothing),
    look,
    ...(exposure ?? nothing),
    ...rest
  })
