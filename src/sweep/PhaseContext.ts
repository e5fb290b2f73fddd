/** Makes the context of a phase from what all phases of a sweep share. */
import { Array as Arr, Clock, Duration, Effect, Option, Stream } from "effect"
import type { PhaseContext } from "./Phase.ts"
import type { PhaseCounts } from "./PhaseCounts.ts"

/** What all phases of one sweep share. */
export type SweepContext = Pick<
  PhaseContext,
  "settings" | "dryRun" | "sweep" | "lost" | "bounds" | "pace" | "deletion" | "odd" | "sources"
>

/** Returns the context of a phase that reports into `counts`. */
export const make = (sweep: SweepContext, counts: PhaseCounts): PhaseContext => {
  const { bounds, deletion, pace, settings } = sweep
  const delayMillis = Duration.toMillis(settings.deleteDelay)

  const mayContinue = Effect.map(bounds.exceeded, (exceeded) => {
    if (exceeded !== null) counts.stoppedBy(exceeded)
    return exceeded === null
  })

  /** Numbers batches and pages of the phase, for its logs. */
  const numbered = <A, E, R>(batch: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => Effect.annotateLogs(batch, { batch: counts.nextBatch() }))

  const forEachBatch: PhaseContext["forEachBatch"] = (batches, act) =>
    batches.pipe(
      Stream.mapEffect((batch) => Effect.andThen(numbered(act(batch)), counts.announce), {
        concurrency: settings.deleteConcurrency,
        unordered: true
      }),
      Stream.runDrain
    )

  const deletePages: PhaseContext["deletePages"] = (next) => {
    type Cursor = Parameters<typeof next>[1]
    const page = Effect.fnUntraced(function* (cursor: Cursor) {
      if (!(yield* mayContinue)) return [[], Option.none<Cursor>()] as const
      const limit = bounds.grant(settings.batchMax)
      const { entries, next: after, used } = yield* next(limit, cursor)
      bounds.giveBack(limit - used)
      return [Arr.chunksOf(entries, settings.batchMax), Option.fromNullOr(after)] as const
    })
    return forEachBatch(Stream.paginate(null as Cursor, page), (entries) => deletion.delete(entries, counts))
  }

  return {
    ...sweep,
    counts,
    mayContinue,
    forEachBatch,
    deletePages,
    share: (fraction) =>
      Effect.map(bounds.share(fraction), (shared) => make({ ...sweep, bounds: shared }, counts)),
    pages: Effect.fnUntraced(function* (next) {
      let cursor: Parameters<typeof next>[0] = null
      do {
        if (!(yield* mayContinue)) return false
        cursor = yield* numbered(next(cursor))
        yield* counts.announce
      } while (cursor !== null)
      return true
    }),
    listing: (pages, each) =>
      Stream.runForEachWhile(pages, (page) =>
        numbered(each(page)).pipe(
          Effect.andThen(counts.announce),
          Effect.andThen(pace.asking),
          Effect.andThen(mayContinue)
        )
      ),
    deletionTimes: Effect.map(Clock.currentTimeMillis, (now) => ({
      now,
      deleteNotBefore: now + delayMillis,
      leaseUntil: delayMillis > 0 ? null : now + Duration.toMillis(settings.lease)
    })),
    undelayed: (entries) => {
      if (delayMillis === 0) return entries
      counts.kept("delete delay", entries.length)
      return []
    }
  }
}
