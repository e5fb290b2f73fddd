/** Makes the context of a phase from what all phases of a sweep share. */
import { Array as Arr, Clock, Duration, Effect, Option, Stream } from "effect"
import type { JournalEntry } from "../database/Database.ts"
import type { DatabaseError } from "../domain/DatabaseError.ts"
import type { StorageError } from "../domain/StorageError.ts"
import type { LeasedPage, PhaseContext } from "./Phase.ts"
import type { PhaseCounts } from "./PhaseCounts.ts"

/** What all phases of one sweep share. */
export type SweepContext = Pick<
  PhaseContext,
  "settings" | "dryRun" | "sweep" | "lost" | "bounds" | "pace" | "deletion" | "odd" | "sources"
>

/** Returns the context of a phase that reports into `counts`, with `bounds` of its own. */
export const make = (
  sweep: SweepContext,
  bounds: SweepContext["bounds"],
  counts: PhaseCounts
): PhaseContext => new Context(sweep, bounds, counts)

/** A class, because each phase of each sweep makes two or three of these. Its members can be used without it. */
class Context implements PhaseContext {
  readonly settings: PhaseContext["settings"]
  readonly dryRun: boolean
  readonly sweep: string
  readonly lost: PhaseContext["lost"]
  readonly pace: PhaseContext["pace"]
  readonly deletion: PhaseContext["deletion"]
  readonly odd: PhaseContext["odd"]
  readonly sources: PhaseContext["sources"]
  readonly bounds: PhaseContext["bounds"]
  readonly counts: PhaseCounts
  readonly mayContinue: Effect.Effect<boolean>

  constructor(sweep: SweepContext, bounds: SweepContext["bounds"], counts: PhaseCounts) {
    this.settings = sweep.settings
    this.dryRun = sweep.dryRun
    this.sweep = sweep.sweep
    this.lost = sweep.lost
    this.pace = sweep.pace
    this.deletion = sweep.deletion
    this.odd = sweep.odd
    this.sources = sweep.sources
    this.bounds = bounds
    this.counts = counts
    this.mayContinue = Effect.map(bounds.exceeded, (exceeded) => {
      if (exceeded !== null) counts.stoppedBy(exceeded)
      return exceeded === null
    })
  }

  readonly share = (fraction: number): Effect.Effect<PhaseContext> =>
    Effect.map(
      Clock.currentTimeMillis,
      (now) => new Context(this, this.bounds.share(fraction, now), this.counts)
    )

  readonly pages = <Cursor, E, R>(
    next: (cursor: Cursor | null) => Effect.Effect<Cursor | null, E, R>
  ): Effect.Effect<boolean, E, R> => allPages(this, next)

  readonly listing = <Page, E, E2, R, R2>(
    pages: Stream.Stream<Page, E, R>,
    each: (page: Page) => Effect.Effect<void, E2, R2>
  ) => {
    const { counts, mayContinue, pace } = this
    return Stream.runForEachWhile(pages, (page) =>
      numbered(counts, each(page)).pipe(
        Effect.andThen(counts.announce),
        Effect.andThen(pace.asking),
        Effect.andThen(mayContinue)
      )
    )
  }

  readonly forEachBatch = <Batch, E, E2, R, R2>(
    batches: Stream.Stream<Batch, E, R>,
    act: (batch: Batch) => Effect.Effect<void, E2, R2>
  ) => {
    const { counts, settings } = this
    return batches.pipe(
      Stream.mapEffect((batch) => Effect.andThen(numbered(counts, act(batch)), counts.announce), {
        concurrency: settings.deleteConcurrency,
        unordered: true
      }),
      Stream.runDrain
    )
  }

  readonly deletePages = <Cursor, E, R>(
    next: (limit: number, cursor: Cursor | null) => Effect.Effect<LeasedPage<Cursor>, E, R>
  ): Effect.Effect<void, E | DatabaseError | StorageError, R> => {
    const { counts, deletion } = this
    const page = (cursor: Cursor | null) => leasedBatches(this, next, cursor)
    // Most sweeps find nothing, or one batch, and need no stream for it.
    return Effect.flatMap(page(null), ([batches, after]) => {
      if (batches.length === 0 && Option.isNone(after)) return Effect.void
      const [only, ...more] = batches
      if (only !== undefined && more.length === 0 && Option.isNone(after)) {
        return Effect.andThen(numbered(counts, deletion.delete(only, counts)), counts.announce)
      }
      const others = Option.isNone(after) ? Stream.empty : Stream.paginate(after.value, page)
      return this.forEachBatch(Stream.concat(Stream.fromArray(batches), others), (entries) =>
        deletion.delete(entries, counts)
      )
    })
  }

  get deletionTimes(): PhaseContext["deletionTimes"] {
    const { deleteDelay, lease } = this.settings
    const delayMillis = Duration.toMillis(deleteDelay)
    return Effect.map(Clock.currentTimeMillis, (now) => ({
      now,
      deleteNotBefore: now + delayMillis,
      leaseUntil: delayMillis > 0 ? null : now + Duration.toMillis(lease)
    }))
  }

  readonly undelayed = (entries: ReadonlyArray<JournalEntry>): ReadonlyArray<JournalEntry> => {
    if (Duration.isZero(this.settings.deleteDelay)) return entries
    this.counts.kept("delete delay", entries.length)
    return []
  }
}

const allPages = Effect.fnUntraced(function* <Cursor, E, R>(
  { counts, mayContinue }: PhaseContext,
  next: (cursor: Cursor | null) => Effect.Effect<Cursor | null, E, R>
) {
  let cursor: Cursor | null = null
  do {
    if (!(yield* mayContinue)) return false
    cursor = yield* numbered(counts, next(cursor))
    yield* counts.announce
  } while (cursor !== null)
  return true
})

/** Returns the batches of a page, and where the next page begins. */
const leasedBatches = Effect.fnUntraced(function* <Cursor, E, R>(
  { bounds, mayContinue, settings }: PhaseContext,
  next: (limit: number, cursor: Cursor | null) => Effect.Effect<LeasedPage<Cursor>, E, R>,
  cursor: Cursor | null
) {
  if (!(yield* mayContinue)) return [[], Option.none<Cursor>()] as const
  const limit = bounds.grant(settings.batchMax)
  const { entries, next: after, used } = yield* next(limit, cursor)
  bounds.giveBack(limit - used)
  return [Arr.chunksOf(entries, settings.batchMax), Option.fromNullOr(after)] as const
})

/** Numbers batches and pages of the phase, for its logs. */
const numbered = <A, E, R>(counts: PhaseCounts, batch: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.annotateLogs(batch, { batch: counts.nextBatch() }))
